"""Mails that keep the fast parser busy for minutes, or make it copy them until memory ends, are read all the same.

None of these is a matter of a few per cent: without care each takes longer than any test may.
"""

import base64

import pytest
from support.everything import email_of, read_everything
from support.watched import watched

from fastmail_ingest.model.mime.traps import has_trap, has_trap_in_parts

# Grows with the third power of its number: 4,000 take 9 s, 8,000 more than a minute.
CUBIC = b"?=@ =?)a" * 8000
MULTIPART = b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
NESTED = b"Content-Type: message/rfc822\r\n\r\n"
ENCODED = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
INNER = b"Subject: " + CUBIC + b"\r\n\r\ninner\r\n"
END = b"\r\n--b--\r\n"

TRAPS = {
    "subject": b"From: a@b.c\r\nSubject: " + CUBIC + b"\r\n\r\nhello",
    "to": b"From: a@b.c\r\nTo: " + CUBIC + b"\r\n\r\nhello",
    "name of a file": MULTIPART + b'Content-Type: a/b; name="' + CUBIC + b'"\r\n\r\nx' + END,
    "message within": MULTIPART + NESTED + INNER + END,
    "message within a message": MULTIPART + NESTED + NESTED + INNER + END,
    "encoded message": MULTIPART + ENCODED + base64.encodebytes(INNER) + END,
    "nothing but an encoded message": b"From: a@b.c\r\n" + ENCODED + base64.encodebytes(INNER),
    "digest": MULTIPART.replace(b"mixed", b"DiGest") + b"\r\n" + INNER + END,
    "boundary in pieces": MULTIPART.replace(b"boundary=b", b"boundary*0=b") + b"X: " + CUBIC + b"\r\n\r\n" + END,
    "boundary with a comment": MULTIPART.replace(b"=b", b"=(c)b", 1) + b"X: " + CUBIC + b"\r\n\r\n" + END,
    "parts of parts": MULTIPART + b'Content-Type: multipart/mixed; boundary="c c"\r\n\r\n--c c\r\nX: ' + CUBIC + b"\r\n\r\n" + END,
    "messages in messages": MULTIPART + NESTED * 250 + b"x" * 20_000_000,
}  # fmt: skip


@pytest.mark.parametrize("raw", TRAPS.values(), ids=TRAPS)
def test_none_of_them_takes_long(raw: bytes) -> None:
    def read(raw: bytes) -> None:
        email = email_of(raw)
        assert email.sender == "a@b.c"
        read_everything(email)

    assert watched([raw], read).done == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"To: " + b"=?utf-8?q?Zo=C3=AB?= <zoe@example.org>, " * 1000 + b"\r\n\r\nx",
        MULTIPART + b'Content-Type: a/b; name="=?utf-8?q?Zo=C3=AB?="\r\n\r\nx' + b"what=?" * 1000 + END,
        MULTIPART + NESTED + b"Subject: x\r\n\r\n" + base64.encodebytes(b"x" * 10_000) + END,
        b"Subject: base64 of a message/rfc822\r\n\r\n" + CUBIC,
    ],
    ids=["many names", "question marks in a body", "forwarded", "in the body"],
)
def test_honest_mails_have_none(raw: bytes) -> None:
    head = raw[: raw.index(b"\r\n\r\n") + 2]
    assert not has_trap(head)
    assert not has_trap_in_parts(head, raw)


def test_an_encoded_message_is_read_like_any_other() -> None:
    inner = b"Subject: inner\r\n\r\nhello\r\n"
    raw = MULTIPART + ENCODED + base64.encodebytes(inner) + END
    email = email_of(raw)
    (attachment,) = email.attachments
    assert (attachment.content_type, attachment.content()) == ("message/rfc822", inner)
    assert (email.text, email.defects) == ("hello", [])


def test_a_digest_is_a_list_of_mails() -> None:
    raw = (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n\r\n1\r\n--b\r\n\r\nSubject: two\r\n\r\n2"
        + END
    )
    email = email_of(raw)
    assert [each.content_type for each in email.attachments] == ["message/rfc822"] * 2
    assert [each.content().split(b"\n")[0].strip() for each in email.attachments] == [
        b"Subject: one",
        b"Subject: two",
    ]
    assert email.defects == []
