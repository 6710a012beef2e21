"""The handler `log`: one line with facts, and never a word of the body."""

import logging
from email.message import EmailMessage

import orjson
import pytest

from fastmail_ingest.handler.log import log
from fastmail_ingest.telemetry.lines import JsonLines
from fastmail_ingest.testing import run_handler


def planted() -> bytes:
    message = EmailMessage()
    message["From"], message["Subject"] = "Ann <ann@example.org>", "Hällo"
    message.set_content("planted-body\n")
    message.add_attachment(b"planted-content", maintype="text", subtype="csv", filename="planted-name.csv")
    return message.as_bytes()


def test_fields_and_no_body(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = run_handler(log, planted(), attempt=2)
    (record,) = [record for record in caplog.records if record.name == "fastmail_ingest.handler"]
    line = JsonLines().format(record)
    email = outcome.email
    assert orjson.loads(line)["mail"] == {
        "id": email.id, "attempt": 2, "account": "test", "mailbox": "INBOX", "sender": "ann@example.org",
        "subject": "Hällo", "size": email.size, "attachments": 1,
    }  # fmt: skip
    assert record.getMessage().endswith(f"from ann@example.org: Hällo ({email.size} bytes, 1 attachments)")
    assert "planted" not in line + caplog.text


def test_a_mail_without_anything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert run_handler(log, b"").done
    assert "from nobody: (no subject)" in caplog.text


def test_nothing_is_parsed_for_a_line_that_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "fastmail_ingest.handler")
    assert run_handler(log, planted()).email._parsed is None
