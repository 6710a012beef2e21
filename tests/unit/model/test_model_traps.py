"""Mails that keep the fast parser busy for minutes, or make it copy them until memory ends, are read all the same.

None of these is a matter of a few per cent: without care each takes longer than any test may.
"""

import base64

import pytest
from support.everything import email_of, read_everything
from support.watched import watched

from fastmail_ingest.model.mime.traps import is_plain

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
    "ends of words": b"From: a@b.c\r\nSubject:" + b" =?" * 190 + b"?=y" * 20_000 + b"\r\n\r\nx",
    "words that touch others": b"From: a@b.c\r\nSubject:" + b" =?a?q?x?=y" * 1990 + b"\r\n\r\nx",
    "ends of words in a part": MULTIPART + b"X:" + b" =?" * 90 + b"?=y" * 330_000 + b"\r\n\r\nx" + END,
    "type in words": b"From: a@b.c\r\nContent-Type: =?utf-8?q?multipart/mixed=3B_boundary=3Db?=\r\n\r\n--b\r\nX: " + CUBIC + b"\r\n\r\nx" + END,
    "boundary in quotes": MULTIPART.replace(b"=b", b'="b;c"', 1).replace(b"--b", b'--"b') + b"X: " + CUBIC + b"\r\n\r\nx",
    "encoding in words": MULTIPART + ENCODED.replace(b"base64", b"=?utf-8?q?b=61se64?=") + base64.encodebytes(INNER) + END,
    "encoding with a comment": MULTIPART + ENCODED.replace(b"base64", b"base64 (c)") + base64.encodebytes(INNER) + END,
    "digest in words": MULTIPART + b"Content-Type: multipart/=?utf-8?q?dig=65st?=; boundary=d\r\n\r\n--d\r\n\r\n" + INNER + END,
    "containers in words": b"From: a@b.c\r\n" + b"".join(
        b"Content-Type:=?utf-8?q?multipart/;bound=61ry=3D%05x?=\n\n--%05x\n" % (n, n) for n in range(11_000)) + b"boundary=zzz\n",
    "delimiters without an end": MULTIPART + b"\n--b" * 63_000,
    "comments": MULTIPART + b"content-type:(" * 65_000,
    "parameters in pieces": MULTIPART + b"Content-Type: a/b" + b";%x*0*=u" * 80_000 + b"\r\n\r\nx" + END,
    "parameters of a container": MULTIPART.replace(b"boundary=b", b"boundary*0=b") + b'Content-Type: multipart/mixed; boundary=y; a="'
        + b";" * 200_000 + b'"\r\n\r\n--y\r\n\r\nx' + END,
    "words in a report": MULTIPART + b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\nDiagnostic-Code: x;" + b"=?a?q?x" * 34_000 + END,
    "words in words": MULTIPART + b'Content-Type: a/b; name="=?utf-8?b?' + base64.b64encode(b"=?a?q?x" * 40_000) + b'?="\r\n\r\nx' + END,
    "words that begin": b"From: a@b.c\r\nSubject: " + b"=?a?q?x" * 1990 + b"y" * 45_000 + b"\r\n\r\nx",
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
def test_honest_mails_are_plain(raw: bytes) -> None:
    assert is_plain(raw[: raw.index(b"\r\n\r\n") + 2], raw)


@pytest.mark.parametrize(
    ("raw", "files", "text"),
    [
        (
            b"--b\r\n\r\nhello\r\n--b--y\r\nmore\r\n--b\r\nContent-Type: a/b; name=evil.exe\r\n\r\nx",
            ["evil.exe"],
            "hello\r\n--b--y\r\nmore",
        ),
        (b"--b\r\nPay now\r\nmore\r\n", [], "Pay now\r\nmore"),
        (b"--b\r\nContent-Transfer-Encoding: base64 \r\n\r\naGVsbG8=\r\n", [], "hello"),
        (b"--b\r\nContent-Transfer-Encoding: base64; x\r\n\r\naGVsbG8=\r\n", [], "hello"),
        (b'--b\r\nContent-Type: a/b; name="report.pdf;.exe"\r\n\r\nx\r\n', ["report.pdf;.exe"], ""),
        (b"--b\r\nContent-Type: a/b; name=one.exe; name=two.pdf\r\n\r\nx\r\n", ["one.exe"], ""),
    ],
    ids=[
        "delimiter that goes on",
        "no blank line",
        "white space",
        "semicolon",
        "semicolon in a name",
        "two names",
    ],
)
def test_nothing_is_hidden_from_us_that_others_show(raw: bytes, files: list[str], text: str) -> None:
    email = email_of(b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + raw + END)
    assert [each.filename for each in email.attachments] == files
    assert email.text.strip() == text


@pytest.mark.parametrize(
    "kind", [b"multipart/mixed; boundary*0=x; boundary*=y", b"multipart/mixed; boundary*=a\0b'en'x", b"multipart/;charset*=\r\xa9",
             b"multipart/mixed; boundary*" + b"9" * 5000 + b"=x"]
)  # fmt: skip
def test_parameters_that_the_stdlib_raises_for(kind: bytes) -> None:
    read_everything(email_of(b"Content-Type: " + kind + b"\r\n\r\nhi"))


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
