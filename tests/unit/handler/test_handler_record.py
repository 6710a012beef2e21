"""What is kept of a mail: values that every JSON reader and every database takes."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from support.kept_mail import HOSTILE, PLAIN, WITH_ATTACHMENT, mail

from fastmail_ingest.handler.record import clean, enclosed_in, record_of


def test_a_mail_as_values() -> None:
    record = record_of(mail(3, PLAIN, attempt=2))
    assert (record.id, record.account, record.mailbox, record.lane) == ("a:INBOX:7:3", "a", "INBOX", "live")
    assert (record.attempt, record.size) == (2, len(PLAIN))
    assert (record.sender, record.sender_name) == ("ann@example.org", "Ann")
    assert (record.to, record.cc) == (["bob@example.com", "c@example.com"], ["d@example.com"])
    assert (record.subject, record.message_id) == ("Grüße", "1@example.org")
    assert record.date == datetime(2025, 1, 6, 8, tzinfo=UTC)
    assert record.text.strip() == "Hello Bob"
    assert record_of(mail(3), text=False).text == ""


def test_attachments_are_numbered_and_decoded() -> None:
    (enclosed,) = enclosed_in(mail(1, WITH_ATTACHMENT))
    assert (enclosed.number, enclosed.filename, enclosed.content_type) == (1, "a.pdf", "application/pdf")
    assert enclosed.content == b"PDF"


def test_a_hostile_mail_has_only_what_databases_take() -> None:
    record = record_of(mail(1, HOSTILE))
    for text in (record.subject, record.text):
        assert "\0" not in text
        text.encode()
    assert record.date is None or record.date.tzinfo is UTC


@given(st.text(st.characters(codec=None)))
def test_whatever_the_text_it_can_be_written(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned
    if "\0" not in text and text.isascii():
        assert cleaned == text
