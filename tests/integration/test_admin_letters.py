"""Dead letters over HTTP: found, seen without harm, replayed, removed, exported byte for byte."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.admin_server import TOKEN, AdminServer, admin_server
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.admin import letters as limits
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import NewMail

HOSTILE = (
    b"From: =?utf-8?q?=3Cscript=3E?= <evil@example.org>\r\n"
    b"To: a@example.org, b@example.org\r\n"
    b"Subject: <script>alert(1)</script> \x1b[31m\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/html\r\n\r\n<p>hello <img src=x onerror=alert(1)> world\x07</p>\r\n"
    b"--x\r\nContent-Type: text/html; name=evil.html\r\n"
    b'Content-Disposition: attachment; filename="../../etc/passwd"\r\n\r\n<script>alert(2)</script>\r\n'
    b"--x--\r\n"
)


@pytest.fixture(scope="module")
def redis_of_letters(redis_binary: str) -> Iterator[RedisServer]:
    made = RedisServer(redis_binary, appendfsync="no")
    yield made
    made.close()


@pytest.fixture
def stream(redis_of_letters: RedisServer) -> Operated:
    return Operated(redis_of_letters)


@pytest.fixture
def admin(stream: Operated, tmp_path: Path) -> Iterator[AdminServer]:
    with admin_server(stream.url, blobs=BlobDirectory(tmp_path)) as made:
        yield made


def listed(admin: AdminServer, query: str = "", token: str = TOKEN) -> list[int]:
    """The UIDs of the letters on the first page."""
    response = admin.get(f"/api/dead{query}", token)
    assert response.status_code == 200, response.text
    return [letter["uid"] for letter in response.json()["letters"]]


def test_a_hostile_mail_is_seen_without_harm(admin: AdminServer, stream: Operated) -> None:
    stream.bury(1, raw=HOSTILE, message="<b>\x1b]0;x\x07", traceback="Traceback:\n  <i>\x00\n")
    (letter,) = stream.letter_ids()
    response = admin.get(f"/api/dead/{letter}", TOKEN)
    for dangerous in ("<", ">", "\x1b", "\x07", "\x00"):
        assert dangerous not in response.text
    told = response.json()
    mail = told["mail"]
    assert mail["subject"].startswith("<script>alert(1)</script>")
    assert mail["text"].split() == ["hello", "world\ufffd"]
    assert [each["address"] for each in mail["to"]] == ["a@example.org", "b@example.org"]
    (attachment,) = mail["attachments"]
    assert "/" not in attachment["filename"]
    assert ".." not in attachment["filename"]
    assert attachment["size"] == len("<script>alert(2)</script>")
    assert "alert(2)" not in response.text
    assert "onerror" not in response.text
    assert told["traceback"] == "Traceback:\n  <i>\ufffd\n"
    assert mail["text_is_cut"] is mail["attachments_are_cut"] is False


def test_an_export_is_the_mail_byte_for_byte_and_no_page(admin: AdminServer, stream: Operated) -> None:
    stream.bury(1, raw=HOSTILE)
    (letter,) = stream.letter_ids()
    response = admin.post("/api/dead/export", {"id": letter})
    assert response.content == HOSTILE
    assert response.headers["Content-Type"] == "message/rfc822"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{letter}.eml"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    gone = admin.post("/api/dead/export", {"id": "1-1"})
    assert (gone.status_code, gone.json()["error"]["name"]) == (404, "no_letter")


def test_pages_go_on_where_the_last_one_ended(admin: AdminServer, stream: Operated) -> None:
    stream.bury(*range(1, 8))
    found: list[int] = []
    query = "?limit=3"
    while True:
        page = admin.get(f"/api/dead{query}", TOKEN).json()
        assert page["total"] == 7
        found += [letter["uid"] for letter in page["letters"]]
        if page["next"] is None:
            break
        query = f"?limit=3&before={page['next']}"
    assert found == [7, 6, 5, 4, 3, 2, 1]
    # A page that ends with the last letter says that there are no more.
    assert admin.get("/api/dead?limit=7").json()["next"] is None
    assert admin.get("/api/dead?before=0-1").json()["letters"] == []


def test_a_search_through_many_ends_soon_and_goes_on(
    admin: AdminServer, stream: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOKED_AT_MAX", 3)
    stream.bury(*range(1, 8), error="KeyError")
    pages, query, found = 0, "?q=a:INBOX:7:1", []
    while True:
        page = admin.get(f"/api/dead{query}").json()
        pages, found = pages + 1, found + page["letters"]
        if page["next"] is None:
            break
        query = f"?q=a:INBOX:7:1&before={page['next']}"
    assert pages == 3
    assert [letter["uid"] for letter in found] == [1]


def test_filters_and_search(admin: AdminServer, stream: Operated) -> None:
    stream.bury(1, reason="rejected", error="Reject")
    stream.bury(2, account="b", message="the number was 42")
    stream.bury(3, mailbox="Other", raw=b"From: Zoe <zoe@example.org>\r\nSubject: G\xc3\x9cNSTIG\r\n\r\n")
    assert listed(admin) == [3, 2, 1]
    assert listed(admin, "?reason=rejected") == [1]
    assert listed(admin, "?error=ValueError&account=b") == [2]
    assert listed(admin, "?mailbox=Other") == [3]
    assert listed(admin, "?newer_than_s=3600") == [3, 2, 1]
    assert listed(admin, "?older_than_s=3600") == []
    assert listed(admin, "?q=ZOE@") == [3]
    assert listed(admin, "?q=g%C3%BCnstig") == [3]
    assert listed(admin, "?q=was 42") == [2]
    # What a mail says cannot be guessed at by searching for it.
    assert listed(admin, "?q=ZOE@", token="") == []
    assert listed(admin, "?q=was 42", token="") == []


def test_replay_and_remove_by_filter(
    admin: AdminServer, stream: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGED_MAX", 2)
    stream.bury(1, 2, 3, error="KeyError")
    stream.bury(4, error="TypeError")
    only = {"filter": {"error": "KeyError"}}
    assert admin.post("/api/dead/replay", only).json() == {"replayed": 2, "left_out": 0, "more": True}
    assert admin.post("/api/dead/replay", only).json() == {"replayed": 1, "left_out": 0, "more": False}
    assert listed(admin) == [4]
    assert len(stream.entries()) == 3
    assert admin.post("/api/dead/remove", {"filter": {}}).json()["removed"] == 1
    assert listed(admin) == []
    assert stream.ledger.states([stream.identity(4)]) == ["done"]


def test_what_another_program_wrote_is_shown_and_not_replayed(admin: AdminServer, stream: Operated) -> None:
    stream.bury_foreign({"<b>": b"\xff\x00<i>", "m": b"no mail"})
    (letter,) = stream.letter_ids()
    response = admin.get(f"/api/dead/{letter}", TOKEN)
    assert response.json()["mail"] is None
    assert "<" not in response.text
    assert response.json()["readable"] is False
    done = admin.post("/api/dead/replay", {"ids": [letter]}).json()
    assert done == {"replayed": 0, "left_out": 1, "more": False}
    assert stream.letter_ids() == [letter]


def test_of_a_large_mail_the_beginning_is_parsed(
    admin: AdminServer, stream: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARSED_MAX_BYTES", 2000)
    raw = b"From: a@b.c\r\nSubject: large\r\n\r\n" + b"line\r\n" * 1000
    stream.bury(1, raw=raw)
    (letter,) = stream.letter_ids()
    mail = admin.get(f"/api/dead/{letter}", TOKEN).json()["mail"]
    assert mail["text_is_cut"] is mail["attachments_are_cut"] is True
    assert 1000 < len(mail["text"]) < 2000
    assert admin.post("/api/dead/export", {"id": letter}).content == raw


def test_a_mail_that_is_kept_in_a_file_and_one_whose_file_is_gone(
    admin: AdminServer, stream: Operated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b"From: a@b.c\r\nSubject: in a file\r\n\r\nall of it\r\n"
    name = f"fmi-{'0' * 16}/{'1' * 32}"
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(raw)
    plain = stream._mail

    def kept_in_a_file(uid: int, account: str, mailbox: str, _: bytes) -> NewMail:
        made = plain(uid, account, mailbox, raw)
        envelope = msgspec.structs.replace(
            codec.decode(made.payload), version=codec.BLOB_VERSION, blob=name, raw=raw[:30]
        )
        return made._replace(payload=codec.encode(envelope))

    monkeypatch.setattr(stream, "_mail", kept_in_a_file)
    stream.bury(1)
    (letter,) = stream.letter_ids()
    assert admin.get(f"/api/dead/{letter}", TOKEN).json()["mail"]["text"].strip() == "all of it"
    assert admin.post("/api/dead/export", {"id": letter}).content == raw
    (tmp_path / name).unlink()
    assert "not in" in admin.get(f"/api/dead/{letter}", TOKEN).json()["mail"]["unavailable"]
    gone = admin.post("/api/dead/export", {"id": letter})
    assert (gone.status_code, gone.json()["error"]["name"]) == (410, "mail_gone")


def test_retries_are_listed_soonest_first(admin: AdminServer, stream: Operated) -> None:
    stream.delay(1, after_s=100)
    stream.delay(2, after_s=50)
    told = admin.get("/api/retries", TOKEN).json()
    assert told["total"] == 2
    assert [each["identity"] for each in told["retries"]] == [stream.identity(2), stream.identity(1)]
    assert told["retries"][0]["due_at"] > time.time()
    assert len(admin.get("/api/retries?limit=1").json()["retries"]) == 1
    assert json.loads(admin.get("/api/retries").text)["content"] is False
