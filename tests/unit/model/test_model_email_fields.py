"""What an Email says of a mail, field by field."""

from datetime import UTC, datetime

import msgspec
import pytest
from support.everything import email_of

from fastmail_ingest.model.email import Address, Email

NEWSLETTER = b"""\
Received: from mx2.example.net by mx.example.org; Tue, 24 Nov 2026 10:00:05 +0000\r
Received: from app.example.net by mx2.example.net; Tue, 24 Nov 2026 10:00:01 +0000\r
From: "Shop, the" <news@shop.example>\r
To: Ann <ann@example.org>, bob@example.org\r
Cc: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r
Bcc: hidden@example.org\r
Reply-To: answers@shop.example\r
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r
 us\r
Date: Tue, 24 Nov 2026 11:00:00 +0100\r
Message-ID: <n1@shop.example>\r
In-Reply-To: <a0@example.org>\r
References: <a0@example.org>\r
 <b0@example.org> <a1@example.org>\r
Content-Type: multipart/mixed; boundary=outer\r
\r
--outer\r
Content-Type: multipart/alternative; boundary=inner\r
\r
--inner\r
Content-Type: text/html; charset=utf-8\r
\r
<html><head><title>no</title><style>p {}</style></head><body><p>Dear&nbsp;Ann,</p><p>buy <b>two</b>!</p></body></html>\r
--inner--\r
--outer\r
Content-Type: application/pdf; name="../../etc/pass wd.pdf"\r
Content-Disposition: attachment; filename="../../etc/pass wd.pdf"\r
Content-Transfer-Encoding: base64\r
\r
JVBERg==\r
--outer\r
Content-Type: image/png\r
Content-ID: <logo@shop.example>\r
Content-Transfer-Encoding: base64\r
\r
iVBORw==\r
--outer\r
Content-Type: text/plain; name=notes.txt\r
Content-Disposition: inline; filename=notes.txt\r
\r
remember\r
--outer--\r
"""


def test_who_and_what() -> None:
    email = email_of(NEWSLETTER)
    assert (email.sender, email.sender_name) == ("news@shop.example", "Shop, the")
    assert email.from_ == Address("Shop, the", "news@shop.example")
    assert str(email.from_) == '"Shop, the" <news@shop.example>'
    assert email.from_.domain == "shop.example"
    assert [str(each) for each in email.to] == ["Ann <ann@example.org>", "bob@example.org"]
    assert email.cc == [Address("Zoë", "zoe@example.org")]
    assert [each.address for each in email.bcc + email.reply_to] == [
        "hidden@example.org",
        "answers@shop.example",
    ]
    assert email.subject == "Grüße from us"
    assert email.date == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert email.defects == []


def test_the_thread_it_belongs_to() -> None:
    email = email_of(NEWSLETTER)
    assert (email.message_id, email.in_reply_to) == ("n1@shop.example", "a0@example.org")
    assert email.references == ["a0@example.org", "b0@example.org", "a1@example.org"]
    assert email_of(b"Message-ID: <x1@y.z> (added by mx)\r\n\r\n").message_id == "x1@y.z"
    assert email_of(b"Message-ID: bare\r\n\r\n").message_id == "bare"
    assert email_of(b"References: a@b c@d\r\n\r\n").references == ["a@b", "c@d"]
    alone = email_of(b"Subject: x\r\n\r\n")
    assert (alone.in_reply_to, alone.references, alone.message_id) == ("", [], "")


def test_headers_are_in_their_order_and_in_any_case() -> None:
    email = email_of(NEWSLETTER)
    assert [name for name, _ in email.headers.items()][:4] == ["Received", "Received", "From", "To"]
    assert email.headers["SUBJECT"] == email.header("subject") == "Grüße from us"
    assert [value.split()[1] for value in email.header_all("received")] == [
        "mx2.example.net",
        "app.example.net",
    ]
    assert (email.header("X-None"), email.header("X-None", "-"), email.header_all("X-None")) == ("", "-", [])


def test_html_is_read_where_there_is_no_text() -> None:
    email = email_of(NEWSLETTER)
    assert email.text == ""
    assert email.body_text == "Dear Ann,\n\nbuy two!"
    assert email.preview == "Dear Ann, buy two!"


def test_text_is_read_where_there_is_some() -> None:
    email = email_of(b"Subject: x\r\n\r\n  one\r\ntwo " + b"long " * 100)
    assert email.text.startswith("  one\r\ntwo")
    assert email.body_text.startswith("  one\ntwo")
    assert email.preview.startswith("one two long")
    assert len(email.preview) == 200


def test_files_are_listed_and_named_safely() -> None:
    pdf, logo, notes = email_of(NEWSLETTER).attachments
    assert (pdf.filename, pdf.raw_filename) == ("pass wd.pdf", "../../etc/pass wd.pdf")
    assert (pdf.content_type, pdf.size, pdf.content(), pdf.inline) == ("application/pdf", 4, b"%PDF", False)
    assert (logo.filename, logo.content_id, logo.inline) == ("", "logo@shop.example", True)
    assert (notes.filename, notes.content()) == ("notes.txt", b"remember")
    assert repr(pdf) == "<Attachment 'pass wd.pdf' application/pdf>"


def test_a_mail_that_is_nothing_but_a_named_text_has_it_as_its_text() -> None:
    email = email_of(b"Content-Type: text/plain; name=fax.txt\r\n\r\nhello")
    assert (email.text, email.attachments) == ("hello", [])


def test_it_looks_harmless_in_a_terminal() -> None:
    shown = repr(
        email_of(b"From: a@b.c\r\nSubject: =?utf-8?q?=1B]0;evil=07=E2=80=AE?= " + b"x" * 200 + b"\r\n\r\n")
    )
    assert shown.isprintable()
    assert "from='a@b.c'" in shown
    assert len(shown) < 200


@pytest.mark.parametrize(
    ("head", "so"),
    [
        (b"Auto-Submitted: auto-replied; owner=x", True),
        (b"Auto-Submitted: no\r\nPrecedence: junk", False),
        (b"Auto-Submitted: no (really)", False),
        (b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b", True),
        (b"Precedence: auto_reply", True),
        (b"Precedence: list", False),  # humans write to lists
        (b"X-Autoreply: yes", True),
        (b"Return-Path: <>", True),
        (b"Return-Path: <a@b>", False),
    ],
)
def test_what_a_program_sent_by_itself(head: bytes, so: bool) -> None:
    assert email_of(head + b"\r\n\r\nx").is_auto_submitted is so


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"Tue, 24 Nov 2026 10:00:00 +0200", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        (b"Tue, 24 Nov 2026 10:00:00 -0000", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        (b"24 Nov 26 10:00 EST", datetime(2026, 11, 24, 15, tzinfo=UTC)),
        (b"2026-11-24 10:00:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        (b"2026-11-24T10:00:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
    ],
)
def test_dates_are_in_utc(written: bytes, meant: datetime) -> None:
    email = email_of(b"Date: " + written + b"\r\n\r\n")
    assert email.date == meant
    assert email.date.tzinfo is UTC or email.date.utcoffset() == UTC.utcoffset(None)
    assert email.defects == []


def test_a_date_that_is_none_is_a_defect() -> None:
    email = email_of(b"Date: whenever\r\n\r\n")
    assert email.date is None
    assert email.defects == ["Date: 'whenever' cannot be read"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"a@b.c (Ann Other)", [Address("Ann Other", "a@b.c")]),
        (b"Ann <a@b.c>, , <>, c@d.e;", [Address("Ann", "a@b.c"), Address("", "c@d.e")]),
        (b"root", [Address("", "root")]),
        (b"not an address", []),
        (b"undisclosed-recipients:;", []),
        (b"team: a@b.c, D <d@e.f>;", [Address("", "a@b.c"), Address("D", "d@e.f")]),
        (b"=?utf-8?q?Doe=2C_John?= <j@b.c>", [Address("Doe, John", "j@b.c")]),
        ("Jürgen <j@b.c>".encode(), [Address("Jürgen", "j@b.c")]),
        (b"=?utf-8?q?=E2=82?= =?utf-8?q?=AC?= <j@b.c>", [Address("€", "j@b.c")]),
        (b'"a@b.c via list" <list@x.y>', [Address("a@b.c via list", "list@x.y")]),
    ],
)
@pytest.mark.parametrize("name", ["To", "From"])
def test_addresses_as_people_write_them(name: str, written: bytes, meant: list[Address]) -> None:
    email = email_of(name.encode() + b": " + written + b"\r\n\r\n")
    assert email.to == (meant if name == "To" else [])
    assert email.from_ == (meant[0] if meant and name == "From" else None)


def test_of_several_senders_all_take_the_first() -> None:
    email = email_of(b"from: first@b.c\r\nFrom: second@b.c\r\nSUBJECT: one\r\nSubject: two\r\n\r\n")
    assert email.sender == email.header("From") == "first@b.c"
    assert email.subject == email.header("Subject") == "one"


@pytest.mark.parametrize("control", ["\x1b", "\x9b", "\0", "\x07", "\x7f"])
def test_nothing_that_controls_a_terminal_is_in_a_field(control: str) -> None:
    raw = f"From: a{control}c@x.y\r\nTo: b{control}@x.y\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi {control}\r\n"
    raw += f"--b\r\nContent-Type: application/x{control}\r\nContent-ID: <c{control}d>\r\n\r\nx\r\n--b--"
    email = email_of(raw.encode())
    (attachment,) = email.attachments
    for text in (
        email.sender,
        str(email.to),
        email.preview,
        attachment.content_type,
        attachment.content_id,
        repr(attachment),
    ):
        assert control not in text


@pytest.mark.parametrize("stamp", [1e12, -1e12, 1e300])
def test_a_day_of_arrival_beyond_the_calendar(stamp: float) -> None:
    envelope = msgspec.structs.replace(email_of(b"")._envelope, internal_date=stamp)
    assert Email(envelope).internal_date is None


@pytest.mark.parametrize(
    "head", [b"Precedence: bulk", b"List-Id: <l.x.y>", b"List-Unsubscribe: <https://x.y>"]
)
def test_what_went_to_many(head: bytes) -> None:
    assert email_of(head + b"\r\n\r\nx").is_bulk
    assert not email_of(b"Subject: x\r\n\r\nx").is_bulk
