"""Thousands of hostile mails, all of each read; and those that were once too much, by themselves."""

import pytest
from support.corpora import kept_mails
from support.everything import email_of, read_everything
from support.watched import watched

from fastmail_ingest.testing.mails.hostile import hostile_mails

COUNT = 3000


def read_all(raw: bytes) -> None:
    read_everything(email_of(raw))


def test_all_of_thousands_of_damaged_mails_can_be_read() -> None:
    bases = [path.read_bytes() for path in kept_mails()]
    assert watched(hostile_mails(2026, COUNT, bases), read_all).done == COUNT


@pytest.mark.parametrize(
    "date",
    [
        b"Sat, 31 Dec 9999 23:59:59 -2359",  # the year 10000 in UTC
        b"1 Jan 0001 00:00:00 +2359",
        b"1 Jan 0000 00:00:00 +0000",
        b"Mon, 1 Jan 2024 00:00:00 +" + b"9" * 400,
        b"Mon, 1 Jan 2024 00:00:00 +99999999999",
    ],
)
@pytest.mark.parametrize(
    "damage", [b"", b"Content-Transfer-Encoding: base64\r\n\r\n!!!"], ids=["sound", "damaged"]
)
def test_a_date_beyond_the_calendar(date: bytes, damage: bytes) -> None:
    """`damage` sends the mail to the other parser."""
    email = email_of(b"Subject: x\r\nDate: " + date + b"\r\n" + damage + b"\r\n\r\nhi")
    assert email.subject == "x"
    assert email.date is None or email.date.tzinfo is not None
