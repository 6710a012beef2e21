"""`import` on real servers: what goes in, what is known, where it goes on, and what it says."""

import errno
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.invariants import assert_invariants
from support.mboxes import LINE, mail, mbox, takeout
from support.operated import Operated
from support.redis_server import RedisServer
from support.stream_world import envelope

from fastmail_ingest.app.operate import importing
from fastmail_ingest.archive.find import find
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import ConfigError, StreamUnavailable
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.archived import import_key
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key, identify
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey

ACCOUNTS = """
[[accounts]]
name = "a"
host = "127.0.0.1"
user = "u"
password = "p"
"""
SMALL_APPENDS = "\n[producer]\nappend_max = 4\nmax_mail = 100000\n"
BLOBS = "\n[blobs]\ninline_limit = 65536\n"


class Shop:
    """A stream, a configuration with one account, and a place for archives."""

    def __init__(self, server: RedisServer, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.stream = Operated(server)
        self.directory = directory
        self.config: Config = load(self.stream.config(directory, ACCOUNTS + SMALL_APPENDS), {})
        self._capsys = capsys

    def file(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def __call__(self, *paths: Path, code: int = 0, **options: object) -> dict:
        order = importing.ImportOrder(paths, **options)  # type: ignore[arg-type]
        assert importing.import_archives(self.config, order, as_json=True) == code
        return json.loads(self._capsys.readouterr().out)

    def mails(self) -> list[codec.Envelope]:
        """What is in the backfill lane; the others are empty."""
        entries = self.stream.entries()
        assert {entry.lane for entry in entries} <= {Lane.BACKFILL}
        return [codec.decode(entry.payload) for entry in entries]

    def fetched(self, uid: int, raw: bytes, mailbox: str = "INBOX", gm_msgid: str = "") -> int:
        """The same as the producer does with a mail of a server; returns how many were new."""
        key, hashed = MailboxKey("a", mailbox), content_hash(raw)
        identity = identify("a", mailbox, 7, uid, gm_msgid=gm_msgid)
        payload = codec.encode(envelope(identity, key, 7, uid, raw))
        new = NewMail(identity, content_key("a", hashed), payload)
        return self.stream.ledger.append(
            Append(key, [new], Cursor(7, uid), self.stream.ledger.cursor(key))
        ).new

    def position(self, path: Path) -> int:
        (archive,) = find(path, pytest.fail)
        return self.stream.ledger.cursor(import_key("a", archive.fingerprint)).last_uid


@pytest.fixture
def shop(
    server: RedisServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    made = Shop(server, tmp_path, capsys)
    yield made
    made.stream.ledger.close()


MAILS = [mail(number) for number in range(30)]


def test_an_mbox_goes_into_the_backfill_lane(shop: Shop) -> None:
    path = shop.file("old.mbox", mbox(MAILS))
    said = shop(path)
    assert (said["read"], said["new"], said["known"], said["too_large"]) == (30, 30, 0, 0)
    assert [each.raw for each in shop.mails()] == MAILS
    first = shop.mails()[0]
    assert first.id == f"a:import:{content_hash(MAILS[0]).hex()}"
    assert (first.account, first.mailbox, first.internal_date) == ("a", "import:old.mbox", 1312469184.0)
    assert shop.position(path) == path.stat().st_size
    assert_invariants(shop.stream.client)


def test_what_was_imported_is_not_read_again(shop: Shop) -> None:
    path = shop.file("a", mbox(MAILS))
    shop(path)
    assert shop(path)["read"] == 0
    said = shop(path, restart=True)
    assert (said["read"], said["new"], said["known"]) == (30, 0, 30)
    shop.stream.finish()
    assert shop(shop.file("b.gz", gzip.compress(mbox(MAILS))))["new"] == 0
    assert shop.mails() == []


def test_a_file_that_has_grown_is_read_anew(shop: Shop) -> None:
    shop(shop.file("a", mbox(MAILS)))
    said = shop(shop.file("a", mbox([*MAILS, mail(99)])))
    assert (said["read"], said["new"]) == (31, 1)


def test_an_archive_out_of_which_nothing_comes_says_why(shop: Shop) -> None:
    path, empty = shop.file("a.mbox", mbox(MAILS)), shop.file("empty.mbox", b"")
    assert shop(path)["notes"] == []
    again, nothing = shop(path, empty)["notes"]
    assert re.fullmatch(r"a.mbox: it was read to its end before \(20.* UTC\); --restart .*", again)
    assert nothing == "empty.mbox: there is no mail in it"
    assert shop(path, restart=True)["notes"] == []


def test_the_same_mail_twice_in_an_archive_is_one(shop: Shop) -> None:
    said = shop(shop.file("a", mbox([*MAILS[:3], MAILS[1], *MAILS])))
    assert (said["new"], said["known"]) == (30, 4)


def test_a_mail_from_a_server_is_known_to_the_import_and_the_other_way_round(shop: Shop) -> None:
    assert shop.fetched(1, MAILS[0])
    shop.stream.finish()
    assert shop.fetched(2, MAILS[1])
    said = shop(shop.file("a", mbox(MAILS)))
    assert (said["new"], said["known"]) == (28, 2)
    shop.stream.client.delete(shop.stream.keys.lanes[Lane.LIVE])
    assert shop.fetched(3, MAILS[2]) == 0
    assert shop.fetched(4, MAILS[3], "Archive") == 0
    assert shop.fetched(5, mail(31)) == 1


def test_takeout_and_gmail_are_one(shop: Shop) -> None:
    number = 1376223687785267735
    said = shop(
        shop.file("a", takeout([(number, MAILS[0]), (number + 1, MAILS[1])], b"=?UTF-8?Q?Bo=C3=AEte?=,x"))
    )
    assert said["new"] == 2
    first = shop.mails()[0]
    assert (first.raw, first.labels, first.thread_id) == (MAILS[0], ("Boîte", "x"), str(number))
    assert first.id == f"a:gm:{number}"
    # By its number, and where somebody else fetches it (another way to read the same account), by its content.
    assert shop.fetched(1, b"other bytes of the same mail", gm_msgid=str(number)) == 0
    assert shop.fetched(2, MAILS[1]) == 0


def test_another_account_is_another_mail(shop: Shop, tmp_path: Path) -> None:
    second = ACCOUNTS.replace('"a"', '"b"')
    shop.config = load(shop.stream.config(tmp_path, ACCOUNTS + second), {})
    path = shop.file("x", mbox(MAILS))
    for words in ("", "c"):
        with pytest.raises(ConfigError, match="a, b"):
            shop(path, account=words)
    assert [shop(path, account=name)["new"] for name in ("a", "b")] == [30, 30]


def test_a_mail_that_is_too_large_becomes_a_dead_letter_like_any_other(shop: Shop) -> None:
    large = mail(7, 200_000)
    said = shop(shop.file("a", mbox([MAILS[0], large, MAILS[1]])))
    assert (said["new"], said["too_large"]) == (3, 1)
    found = shop.mails()[1]
    assert found.truncated
    assert large.startswith(found.raw)
    assert len(found.raw) == 64 * 1024
    # The producer would have kept the same beginning.
    assert shop.fetched(1, large[: 64 * 1024]) == 0


def test_it_goes_on_where_it_broke(shop: Shop) -> None:
    path = shop.file("a", mbox(MAILS))
    (archive,) = find(path, pytest.fail)
    at = list(archive.mails(0, 100_000))[9].position
    key = import_key("a", archive.fingerprint)
    shop.stream.ledger.append(Append(key, [], Cursor(1, at), Cursor()))
    assert shop(path)["read"] == 20
    assert [each.raw for each in shop.mails()] == MAILS[10:]


def test_a_position_in_the_middle_of_a_mail_is_none(shop: Shop) -> None:
    path = shop.file("a", mbox(MAILS))
    (archive,) = find(path, pytest.fail)
    shop.stream.ledger.append(Append(import_key("a", archive.fingerprint), [], Cursor(1, 77), Cursor()))
    assert shop(path)["new"] == 30


def test_whoever_moves_the_cursor_is_followed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.file("a", mbox(MAILS))
    (archive,) = find(path, pytest.fail)
    key = import_key("a", archive.fingerprint)
    ledger_type, moved = type(shop.stream.ledger), []
    real = ledger_type.append

    def meddled(ledger, append: Append):
        if append.key == key and append.cursor.last_uid > 2000 and not moved:
            moved.append(shop.stream.client.delete(shop.stream.keys.cursor(key)))
        return real(ledger, append)

    monkeypatch.setattr(ledger_type, "append", meddled)
    said = shop(path)
    assert moved == [1]
    assert said["new"] == 30
    assert said["read"] > 30
    assert [each.raw for each in shop.mails()] == MAILS
    assert shop.position(path) == path.stat().st_size


def test_a_mail_that_a_hand_took_away_is_imported_again(shop: Shop) -> None:
    path = shop.file("a", mbox(MAILS))
    shop(path)
    shop.fetched(7, mail(77))
    stream = shop.stream
    lane = stream.keys.lanes[Lane.BACKFILL]
    (first, _), *_ = stream.client.xrange(lane)
    stream.client.xdel(lane, first)
    assert stream.ledger.reconcile()[0] == 1
    # The mailboxes of the account have nothing to do with it.
    assert stream.ledger.cursor(MailboxKey("a", "INBOX")).last_uid == 7
    said = shop(path)
    assert (said["read"], said["new"]) == (30, 1)
    assert_invariants(stream.client)


def test_one_bad_path_harms_no_other(shop: Shop) -> None:
    good = shop.file("good", mbox(MAILS))
    cut = shop.file("cut.gz", gzip.compress(mbox([mail(n) for n in range(50, 60)]))[:-9])
    said = shop(shop.file("bad", b"no mail\n"), cut, shop.directory / "nothing", good, code=1)
    assert said["problem_count"] == 3
    assert [word in "".join(said["problems"]) for word in ("bad", "cut.gz", "nothing", "good")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert {each.raw for each in shop.mails()} >= set(MAILS)


def test_a_dry_run_counts_and_writes_nothing(shop: Shop) -> None:
    shop.stream.client.flushall()
    said = shop(shop.file("a", mbox([*MAILS, mail(9, 200_000)])), dry_run=True)
    assert (said["read"], said["too_large"], said["new"], said["dry_run"]) == (31, 1, 0, True)
    assert shop.stream.client.dbsize() == 0


def test_without_redis_it_says_so(shop: Shop, tmp_path: Path) -> None:
    path = shop.file("a", mbox(MAILS))
    config = tmp_path / "other.toml"
    config.write_text(f'{ACCOUNTS}[redis]\nurl = "unix://{tmp_path}/none"\n')
    config.chmod(0o600)
    shop.config = load(config, {})
    with pytest.raises(StreamUnavailable, match="remedy"):
        shop(path)
    assert shop(path, dry_run=True)["read"] == 30


def test_a_mail_of_fifty_megabytes_goes_into_a_blob(shop: Shop, tmp_path: Path) -> None:
    shop.config = load(shop.stream.config(tmp_path, ACCOUNTS), {})
    large = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 50_000
    path = shop.file("a", mbox([MAILS[0], large, MAILS[1]]))
    said = shop(path)
    assert (said["new"], said["too_large"]) == (3, 0)
    first, second, third = shop.mails()
    assert [first.raw, third.raw] == MAILS[:2]
    assert (second.size, second.raw) == (len(large), large[: 64 * 1024])
    assert second.content_hash == content_hash(large)
    with importing.large_mails(shop.config).open(second.blob) as file:
        assert file.read() == large
    # Once more: the blob is needed, and stays.
    assert shop(path, restart=True)["known"] == 3
    importing.large_mails(shop.config).open(second.blob).close()


def test_a_large_mail_that_is_known_leaves_no_blob(shop: Shop, tmp_path: Path) -> None:
    shop.config = load(shop.stream.config(tmp_path, ACCOUNTS + BLOBS), {})
    large = mail(5, 70_000)
    assert shop.fetched(1, large)
    shop.stream.finish()
    assert shop(shop.file("a", mbox([large])))["known"] == 1
    assert [path for path in (tmp_path / "fastmail-ingest-blobs").rglob("*") if path.is_file()] == []


def test_a_large_mail_that_cannot_be_kept_is_told_and_imported_next_time(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.config = load(shop.stream.config(tmp_path, ACCOUNTS + BLOBS), {})
    path = shop.file("a", mbox([MAILS[0], mail(5, 70_000), MAILS[1]]))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = shop(path, code=1)
    assert "No space left" in said["problems"][0]
    assert said["new"] == 1
    said = shop(path)
    assert (said["read"], said["new"]) == (2, 2)


def test_names_that_are_no_text(shop: Shop) -> None:
    path = Path(bytes(shop.directory).decode() + "/caf\udce9.mbox")
    path.write_bytes(mbox(MAILS[:1]))
    assert shop(path)["new"] == 1
    assert shop.mails()[0].mailbox == "import:caf?.mbox"
    assert shop(shop.directory / "\udcff", code=1)["problem_count"] == 1


def test_mails_of_odd_form_arrive(shop: Shop) -> None:
    odd = [b"\n", b"\xff\xfe\0\r\n", b"no header\n", b"Subject: x\n", b"\n\n\nFrom \n"]
    text = LINE + (b"\n" + LINE).join(each.replace(b"From ", b">From ") for each in odd) + b"\n"
    said = shop(shop.file("a", text))
    assert said["read"] == said["new"] == len(odd)
