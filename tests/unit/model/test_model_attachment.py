"""Names that a file may have, made of names that a stranger wrote."""

import gc
import os
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.everything import email_of

from fastmail_ingest.model.mime.attachment import safe_filename


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht 2026 (Q3).xlsx", "Übersicht 2026 (Q3).xlsx"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\report.doc", "report.doc"),
        ("/etc/shadow", "shadow"),
        ("..", ""),
        ("...hidden", "hidden"),
        ("-rf", "rf"),
        ("a\r\nb\0c.txt", "abc.txt"),
        ("exe.\u202efdp.scr", "exe.fdp.scr"),
        ("what?<>|*.txt", "what_____.txt"),
        ("CON.txt", "_CON.txt"),
        ("lpt1", "_lpt1"),
        ("console.txt", "console.txt"),
        ("", ""),
        ("name. . ", "name"),
        ("dir/", ""),
    ],
)
def test_a_name_made_safe(name: str, safe: str) -> None:
    assert safe_filename(name) == safe


def test_a_long_name_keeps_its_suffix() -> None:
    name = safe_filename("ü" * 400 + ".tar")
    assert name.endswith("ü.tar")
    assert len(name.encode()) <= 200
    assert len(safe_filename("x." + "y" * 400).encode()) <= 200


@given(st.text())
def test_any_name_stays_in_its_directory(name: str) -> None:
    safe = safe_filename(name)
    assert os.sep not in safe
    assert safe not in (".", "..")
    assert safe == safe_filename(safe)
    assert (Path("/kept") / safe).parent == Path("/kept") or not safe
    assert len(safe.encode()) <= 200


PARTS = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%s\r\n\r\nx\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b--"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (
            b"Content-Disposition: attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac.pdf",
            "€.pdf",
        ),  # RFC 2231, 4.1
        (b"Content-Disposition: attachment; filename*=iso-8859-1'de'%FCber.pdf", "über.pdf"),
        (b'Content-Disposition: attachment; filename="=?utf-8?q?=C3=BCber.pdf?="', "über.pdf"),
        (b'Content-Type: application/pdf; name="=?utf-8?b?4oI=?= =?utf-8?b?rC5wZGY=?="', "€.pdf"),
        ('Content-Type: application/pdf; name="über.pdf"'.encode(), "über.pdf"),
        ('Content-Type: application/pdf; name="über.pdf"'.encode("latin-1"), "über.pdf"),
        (
            b"Content-Disposition: attachment; filename=a.pdf\r\nContent-Type: application/pdf; name=b.pdf",
            "a.pdf",
        ),
        (b"Content-Type: application/pdf", ""),
    ],
)
def test_names_as_programs_write_them(header: bytes, name: str) -> None:
    (attachment,) = email_of(PARTS % header).attachments
    assert attachment.filename == name


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        (b"base64", b"YWJj!!ZGVm", b"abcdef"),
        (b"base64", b"YWJj\r\n--\r\n", b"abc"),
        (b"x-uuencode", b"begin 644 a\r\n#86)C\r\n`\r\nend", b"abc"),
        (b"quoted-printable", b"a=\r\nb=ZZ", b"ab=ZZ"),
        (b"x-nobody-knows", b"abc", b"abc"),
    ],
)
def test_what_can_be_decoded_of_a_damaged_one(encoding: bytes, body: bytes, content: bytes) -> None:
    header = b"Content-Type: a/b\r\nContent-Transfer-Encoding: " + encoding
    (attachment,) = email_of(PARTS.replace(b"\r\nx\r\n", b"\r\n" + body + b"\r\n") % header).attachments
    assert attachment.content() == content
    assert attachment.size == len(content)


def test_damage_is_told_by_the_attachment() -> None:
    header = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64"
    damaged, sound = (
        email_of(PARTS.replace(b"\r\nx\r\n", b"\r\n" + body + b"\r\n") % header)
        for body in (b"YWJj!!ZGVm", b"YWJj")
    )
    assert (damaged.attachments[0].is_damaged, sound.attachments[0].is_damaged) == (True, False)
    assert damaged.defects == []  # it is not decoded for them, so they are the same whoever asks when


def test_a_mail_that_goes_takes_its_attachments_with_it() -> None:
    """Without the garbage collector: a batch of large mails must not wait for it."""
    gc.disable()
    try:
        email = email_of(PARTS % b"Content-Type: a/b")
        gone = weakref.ref(email._mail)
        assert email.attachments[0].content() == b"x"
        assert email.defects == []
        del email
        assert gone() is None
    finally:
        gc.enable()
