"""Depth and number are the sender's choice: they cost defects, never an exception."""

import pytest

from fastmail_ingest.model.mime import Mail
from fastmail_ingest.model.mime.bounds import PARTS_MAX

DAMAGED = b"Content-Transfer-Encoding: base64\r\n\r\n!!!"  # what sends a mail to the fallback parser


def nested(depth: int) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    return b"".join(levels) + b"\r\nhi"


@pytest.mark.parametrize("depth", [10, 300, 900, 1000, 3000])
def test_nesting(depth: int) -> None:
    assert isinstance(Mail(nested(depth)).text, str)


def test_messages_in_messages() -> None:
    assert isinstance(Mail(b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"x").text, str)


def test_the_fallback_reads_a_bounded_number_of_parts() -> None:
    part = b"--b\r\nContent-Type: application/pdf\r\n" + DAMAGED + b"\r\n"
    text = b"--b\r\nContent-Type: text/plain\r\n" + DAMAGED + b"\r\n"
    mail = Mail(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + text + part * (PARTS_MAX + 50))
    assert len(mail.attachments) <= PARTS_MAX
    assert any(defect.startswith("parts: more than") for defect in mail.defects)


@pytest.mark.parametrize(
    "charset", [b"nope", b"idna", b"rot13", b"zlib_codec", b"undefined", b"utf-7", b'"a\x00b"', b"\xff", b"raw_unicode_escape"]
)  # fmt: skip
def test_the_text_of_any_charset_is_whole_characters(charset: bytes) -> None:
    # Base64 of \\ud800, half a character in the charset of the last case.
    mail = Mail(b"Content-Type: text/plain; charset=" + charset + b"\r\n" + DAMAGED + b"XHVkODAw")
    assert mail.text.encode() is not None


def test_endless_parameters_are_left_unread() -> None:
    endless = b'Content-Type: text/plain; a="' + rb"\"; " * 15_000 + b'"\r\n'
    mail = Mail(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + endless + DAMAGED + b"\r\n--b--"
    )
    assert any("parameters" in defect or "parser" in defect for defect in mail.defects)
