"""What the README says of an `Email` is all that it has, and its recipes do what they say."""

import re
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from fastmail_ingest import Address, Attachment, Email
from fastmail_ingest.model.email import DeliveryReport
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mime import bounds, mail
from fastmail_ingest.model.mime.delivery_report import RecipientStatus
from fastmail_ingest.testing import run_handler

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("### What an `Email` has\n")[2].partition("\n## ")[0]
SAVE, BOUNCES, AUTOMATIC = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


# With what __init__ sets, which the class itself does not show.
KINDS: dict[type, set[str]] = {
    Email: set(),
    Address: set(),
    Attachment: {"raw_filename", "content_type", "content_id", "inline"},
    DeliveryReport: set(),
    RecipientStatus: set(),
}


def handler(recipe: str) -> Callable[[Email], None]:
    names: dict[str, Any] = {}
    exec(recipe, names)
    return names["handle"]


def fields(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} | KINDS[kind]


def test_every_field_is_named_and_every_name_is_a_field() -> None:
    table = "".join(line for line in SECTION.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`\.?([a-z_]+)(?:\([a-z.]*\))?`", table))
    assert named - {lane.label for lane in Lane} == set().union(*map(fields, KINDS)) | {"label"}


def test_the_bounds_are_those_of_the_parser() -> None:
    assert f"Of a mail {bounds.MAIL_BYTES_MAX >> 20} MiB, {bounds.HEADER_BYTES_MAX >> 10} KiB" in SECTION
    assert f"{bounds.PARTS_MAX:,} parts and {mail.TEXT_CHARS_MAX // 1_000_000} million characters" in SECTION


def test_attachments_are_saved_once_and_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = EmailMessage()
    message.set_content("three files")
    for name, content in (("../../a.pdf", b"1"), ("a.pdf", b"2"), (None, b"3"), ("\u00fc" * 200, b"4")):
        message.add_attachment(content, "application", "pdf", filename=name)
    for attempt in (1, 2):
        outcome = run_handler(handler(SAVE), message, attempt=attempt)
        assert outcome.done, outcome
    (folder,) = (tmp_path / "attachments").iterdir()
    saved = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert list(tmp_path.iterdir()) == [tmp_path / "attachments"]
    assert sorted(saved.values()) == [b"1", b"2", b"3", b"4"]
    assert {"001-a.pdf", "002-a.pdf", "003-unnamed"} < set(saved)


def test_a_mail_without_attachments_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_handler(handler(SAVE), b"Subject: x\n\nhello").done
    assert list(tmp_path.iterdir()) == []


REPORT = b"""\
From: MAILER-DAEMON@example.org
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

It did not arrive.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; bob@example.net
Action: %s
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

Final-Recipient: rfc822; carl@example.net
Action: delivered
Status: 2.0.0
--b
Content-Type: message/rfc822

Message-ID: <mine@example.com>

hello
--b--
"""


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (REPORT % b"failed", "mine@example.com bob@example.net True 550 no such user\n"),
        (REPORT % b"delayed", ""),
        (b"From: MAILER-DAEMON@x.y\nReturn-Path: <>\n\nno such\nuser", "for a human: no such user\n"),
        (b"From: ann@x.y\n\nhello", ""),
    ],
)
def test_bounces_are_told(raw: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_handler(handler(BOUNCES), raw).done
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"Subject: hello", "a person wrote: hello\n"),
        (b"Subject: away\nAuto-Submitted: auto-replied", ""),
        (b"Subject: news\nlist-id: <news.example.org>", ""),
        (b"Subject: failed\nX-Failed-Recipients: bob@example.net", ""),
    ],
)
def test_programs_get_no_answer(head: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_handler(handler(AUTOMATIC), head + b"\n\ntext").done
    assert capsys.readouterr().out == said


def test_what_is_absent_is_empty_and_four_fields_are_none() -> None:
    email = run_handler("noop", b"").email
    values = {name: value for name in fields(Email) if not callable(value := getattr(email, name))}
    none = {name for name, value in values.items() if value is None}
    assert none == {"from_", "date", "internal_date", "delivery_report"}
    assert all(values[name] == "" for name in ("sender", "subject", "body_text", "preview", "text", "html"))
    assert all(values[name] == [] for name in ("to", "cc", "bcc", "reply_to", "attachments", "defects"))
