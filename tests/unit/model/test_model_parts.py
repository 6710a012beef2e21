"""Which parts a mail has and what is in them, where fast-mail-parser or the stdlib alone would have it otherwise."""

import pytest
from support.everything import email_of

from fastmail_ingest.model.mime.part import Undecodable
from fastmail_ingest.model.mime.quoted_printable import Travelled

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
QUOTED_PRINTABLE = b"Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


@pytest.mark.parametrize(
    ("encoded", "content"),
    [
        (b"a=\r\n", b"a"),
        (b"a=\r\nb=\r\n", b"ab"),
        (b"a\r\n", b"a\r\n"),
        (b"a=0D=0A", b"a\r\n"),
        (b"a \t\r\nb  ", b"a\r\nb"),
        (b"a=20\r\n", b"a \r\n"),
        (b"=C3=BC\xc3\xbc=\r\n", b"\xc3\xbc\xc3\xbc"),
        (b"", b""),
    ],
)
def test_quoted_printable_to_the_byte(encoded: bytes, content: bytes) -> None:
    """RFC 2045, 6.7; a line that ends with "=" at the end of a part is how Apple's programs write the last one."""
    (alone,) = email_of(QUOTED_PRINTABLE + encoded).attachments
    others = b"--b\r\n\r\n\r\n--b\r\nX: y\r\n\r\n--b\r\n\r\ntext\r\n"
    among = email_of(MIXED + others + b"--b\r\n" + QUOTED_PRINTABLE + encoded + b"\r\n--b--")
    assert (alone.content(), among.attachments[-1].content(), among.defects) == (content, content, [])


def test_each_of_two_that_are_as_long() -> None:
    parts = b"".join(b"--b\r\n" + QUOTED_PRINTABLE + each + b"=\r\n\r\n" for each in (b"one", b"two"))
    assert [each.content() for each in email_of(MIXED + parts + b"--b--").attachments] == [b"one", b"two"]


def test_searches_are_bounded() -> None:
    """Each looks through the whole mail."""
    mail = Travelled(MIXED + b"--b\r\n" + QUOTED_PRINTABLE + b"\xfca=\r\n\r\n--b--")
    assert mail.mended(b"a\r\n", 5) == b"\xfca"
    with pytest.raises(Undecodable):
        list(map(mail.mended, [b"a\r\n"] * 100, [5] * 100))


@pytest.mark.parametrize("kind", [b"text", b"<html>", b"; charset=utf-8", b"text/html/x"])
def test_a_type_that_is_none_is_plain_text(kind: bytes) -> None:
    """RFC 2045, 5.2."""
    email = email_of(b"Content-Type: " + kind + b"\r\n\r\nbody")
    assert (email.text, email.html, email.attachments) == ("body", "", [])


def test_a_boundary_that_begins_like_another() -> None:
    """RFC 2046, 5.1.1, warns of it; nobody is to see parts of nothing."""
    inner = b"Content-Type: multipart/alternative; boundary=b1\r\n\r\n--b1\r\n\r\ntext\r\n--b1--\r\n"
    email = email_of(MIXED + b"--b\r\n" + inner + b"--b\r\n--b\r\nContent-Type: a/b\r\n\r\nc\r\n--b--")
    assert (email.text, [each.content() for each in email.attachments]) == ("text", [b"c"])


def test_an_empty_mail_in_a_row_of_boundaries() -> None:
    assert email_of(MIXED + b"--b\r\n--b\r\n--b--").attachments == []


def test_a_boundary_in_the_words_of_rfc_2231() -> None:
    head = b"Content-Type: multipart/mixed; boundary*=us-ascii''b\r\n\r\n"
    email = email_of(head + b"--b\r\n\r\none\r\n--b\r\nContent-Type: a/b\r\n\r\ntwo\r\n--b--")
    assert (email.text, email.attachments[0].content(), email.defects) == ("one", b"two", [])


@pytest.mark.parametrize("inner", [b"multipart/alternative", b"multipart/alternative; boundary=never"])
def test_what_is_in_a_container_without_parts_is_not_lost(inner: bytes) -> None:
    parts = (
        b"--b\r\nContent-Type: " + inner + b"\r\n\r\ntext\r\n--b\r\nContent-Type: a/b\r\n\r\nfile\r\n--b--"
    )
    email = email_of(MIXED + parts)
    assert (email.text.strip(), [each.content() for each in email.attachments]) == ("text", [b"file"])
    assert email.defects == ["parts: none begins in a multipart, what is in it is read as text"]


ENCLOSED = (
    b"Subject: a long one, which a program that writes it anew would fold, whether it is asked to or not, I say\r\n"
    b"Content-Type: Message/RFC822\r\n\r\nX:  y\r\n\r\nContent-Type: multipart/digest"
)


@pytest.mark.parametrize(
    "whole", [b"", b"--b\r\nContent-Type: multipart/x\r\n\r\n\r\n"], ids=["Rust", "stdlib"]
)
def test_an_enclosed_mail_is_as_it_came(whole: bytes) -> None:
    email = email_of(MIXED + whole + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + ENCLOSED + b"\r\n--b--")
    enclosed = email.attachments[-1]
    assert (enclosed.content_type, enclosed.content()) == ("message/rfc822", ENCLOSED)


def test_an_enclosed_mail_in_base64() -> None:
    """RFC 2046, 5.2.1, forbids it, and some write it so."""
    part = b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA=="
    assert email_of(MIXED + part + b"\r\n--b--").attachments[0].content() == b"Subject: x"


@pytest.mark.parametrize("headers", [b"", b"Content-ID: <x>\r\n"])
def test_the_parts_of_a_digest_are_mails(headers: bytes) -> None:
    """RFC 2046, 5.1.5."""
    part = b"--b\r\n" + headers + b"\r\n" + ENCLOSED + b"\r\n"
    email = email_of(MIXED.replace(b"mixed", b"digest") + part * 2 + b"--b--")
    assert [each.content_type for each in email.attachments] == ["message/rfc822"] * 2
    assert [each.content() for each in email.attachments] == [ENCLOSED] * 2


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ('First "M." Last <a@b.c>', "First M. Last", "a@b.c"),
        ('"First \\"Q\\" Last" <a@b.c>', 'First "Q" Last', "a@b.c"),
        ("<@one.example, @two.example:a@b.c>", "", "a@b.c"),
        ("A <@one.example:a@b.c>", "A", "a@b.c"),
        (",, a@b.c", "", "a@b.c"),
        ('"a b"@c.d', "", '"a b"@c.d'),
    ],
)
def test_addresses_in_their_older_forms(value: str, name: str, address: str) -> None:
    """RFC 5322, 3.2.5: a name of several words, some in quotes; 4.4: routes and empty places in lists."""
    email = email_of(f"From: {value}\r\nTo: x@y.z, {value}\r\n\r\n".encode())
    assert (email.sender_name, email.sender) == (name, address)
    assert [(each.name, each.address) for each in email.to] == [("", "x@y.z"), (name, address)]


def test_utf8_under_the_label_of_another_charset() -> None:
    email = email_of("Content-Type: text/plain; charset=gb2312\r\n\r\n请求书 明天 会议".encode())
    assert (email.text, email.defects) == ("请求书 明天 会议", ["charset: 'gb2312' is UTF-8"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"filename*=utf-8''na%C3%AFve%20na%C3%AFve.csv", "naïve naïve.csv"),
        (b'filename="=?utf-8?q?na=C3=AFve?="', "naïve"),
        ('filename="naïve"'.encode(), "naïve"),
        ('filename="请求书 明天.doc"'.encode("gbk"), "请求书 明天.doc"),
    ],
)
@pytest.mark.parametrize("text", [b"ascii", b"\xc3\xbc"])
def test_only_names_that_are_not_encoded_are_guessed(name: bytes, shown: str, text: bytes) -> None:
    part = b"--b\r\nContent-Type: a/b\r\nContent-Disposition: attachment; " + name + b"\r\n\r\nx\r\n"
    email = email_of(MIXED + part + b"--b\r\n\r\n" + text + b"\r\n--b--")
    assert [each.raw_filename for each in email.attachments] == [shown]
