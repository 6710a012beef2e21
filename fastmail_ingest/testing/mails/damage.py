"""What happens to mails on their way, and what is done to them on purpose: one kind of damage a function."""

import re
from collections.abc import Callable
from random import Random
from typing import TypeAlias

from fastmail_ingest.testing.mails.language import LABELS_NOBODY_KNOWS

Damage: TypeAlias = Callable[[bytes, Random], bytes]
"""Takes a mail's bytes, gives others; the same for the same state of the random numbers."""

_BOUNDARY = re.compile(rb'boundary="?([^"\r\n;]{1,200})', re.IGNORECASE)
_CHARSET = re.compile(rb'charset="?[\w.-]{1,60}"?', re.IGNORECASE)
_TRANSFER = re.compile(rb"(Content-Transfer-Encoding:[ \t]*)[\w-]+", re.IGNORECASE)
_TYPE = re.compile(rb"(Content-Type:[ \t]*)[\w.+/-]+", re.IGNORECASE)
_ENCODED_WORD = re.compile(rb"=\?[^?\s]{1,40}\?[bqBQ]\?[^?]{0,200}\?=")
_TYPES = (
    b"text/plain", b"text/html", b"multipart/mixed", b"multipart/report", b"message/rfc822", b"message/delivery-status",
    b"message/external-body", b"message/partial", b"application/ms-tnef", b"text/calendar", b"/", b"text", b"multipart/", b"a/b/c",
    b"text/\xff", b"=?utf-8?q?text/plain?=", b"application/" + b"x" * 500,
)  # fmt: skip
_TRANSFERS = (
    b"base64", b"quoted-printable", b"7bit", b"8bit", b"binary", b"x-uuencode", b"uuencode", b"BASE64 ", b"base-64", b"gzip", b"",
)  # fmt: skip


def cut(raw: bytes, draw: Random) -> bytes:
    """The end is missing, as after a broken connection."""
    return raw[: _at(raw, draw)]


def behead(raw: bytes, draw: Random) -> bytes:
    """The beginning is missing."""
    return raw[_at(raw, draw) :]


def leave_out(raw: bytes, draw: Random) -> bytes:
    """A piece in the middle is missing."""
    start = _at(raw, draw)
    return raw[:start] + raw[start + draw.randint(1, 200) :]


def repeat_piece(raw: bytes, draw: Random) -> bytes:
    """A piece comes several times."""
    start = _at(raw, draw)
    piece = raw[start : start + draw.randint(1, 300)]
    return raw[:start] + piece * draw.randint(2, 20) + raw[start:]


def flip(raw: bytes, draw: Random) -> bytes:
    """Some bytes are others."""
    changed = bytearray(raw)
    for _ in range(draw.randint(1, 20) if raw else 0):
        changed[draw.randrange(len(changed))] = draw.getrandbits(8)
    return bytes(changed)


def insert_nul(raw: bytes, draw: Random) -> bytes:
    """NUL where no standard allows it (RFC 5322 4)."""
    return _insert(raw, draw, b"\x00" * draw.randint(1, 3), draw.randint(1, 5))


def insert_controls(raw: bytes, draw: Random) -> bytes:
    """Line ends of other worlds, escape sequences, a byte order mark, the end of a file."""
    odd = (
        b"\x0b",
        b"\x0c",
        b"\x1b[2J",
        b"\x85",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"\x1a",
        b"\xe2\x80\xae",
        b"\r",
    )
    return _insert(raw, draw, draw.choice(odd), draw.randint(1, 5))


def insert_unpaired(raw: bytes, draw: Random) -> bytes:
    """Bytes that are no UTF-8: halves of characters, surrogates, too long forms, beyond the last one."""
    broken = (b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xff\xfe", b"\x80" * 5)
    return _insert(raw, draw, draw.choice(broken), draw.randint(1, 5))


def bare_lf(raw: bytes, draw: Random) -> bytes:
    """Every line ends in LF, or only some."""
    return _line_ends(raw, draw, b"\n")


def bare_cr(raw: bytes, draw: Random) -> bytes:
    """Every line ends in CR, or only some."""
    return _line_ends(raw, draw, b"\r")


def double_line_ends(raw: bytes, draw: Random) -> bytes:
    """CR CR LF, from a program that translated twice."""
    return _line_ends(raw, draw, b"\r\r\n")


def charset_label(raw: bytes, draw: Random) -> bytes:
    """The charset is said to be another one."""
    label = draw.choice(LABELS_NOBODY_KNOWS).encode()
    return _CHARSET.sub(lambda _: b"charset=" + label, raw, count=draw.randint(1, 3))


def transfer_label(raw: bytes, draw: Random) -> bytes:
    """The transfer encoding is said to be another one."""
    return _TRANSFER.sub(lambda found: found[1] + draw.choice(_TRANSFERS), raw, count=draw.randint(1, 3))


def type_label(raw: bytes, draw: Random) -> bytes:
    """The content type is said to be another one."""
    return _TYPE.sub(lambda found: found[1] + draw.choice(_TYPES), raw, count=draw.randint(1, 3))


def boundary_unlike(raw: bytes, draw: Random) -> bytes:
    """The boundary in the header is not the one between the parts."""
    return _BOUNDARY.sub(
        lambda found: found[0] + draw.choice((b" ", b"x", b"-", b"\t;", b'"', b"\xff")), raw, 1
    )


def boundary_lost(raw: bytes, draw: Random) -> bytes:
    """Some lines between the parts are missing, or the last one is."""
    found = _BOUNDARY.search(raw)
    if found is None:
        return raw
    mark = b"--" + found[1]
    if draw.random() < 0.5:
        return raw.replace(mark + b"--", b"")
    return raw.replace(mark, b"", draw.randint(1, 2))


def boundary_prefix(raw: bytes, draw: Random) -> bytes:
    """One boundary begins with another: of nested parts, which of them ends here?"""
    marks = [found[1] for found in _BOUNDARY.finditer(raw)]
    if not marks:
        return raw
    inner = draw.choice(marks)
    return raw.replace(inner, marks[0] + draw.choice((b"", b"-", b"--", b"0", b" ")))


def encoded_word(raw: bytes, draw: Random) -> bytes:
    """An encoded-word that ends nowhere, says nothing, or holds another."""
    odd = (
        b"=?", b"=?utf-8", b"=?utf-8?b?", b"=?utf-8?b?=?=", b"=?utf-8?x?a?=", b"=?nope?q?=ff?=", b"=?utf-8?q?a b?=", b"=??q?x?=",
        b"=?utf-8?b?=?utf-8?q?x?=?=", b"=?utf-8?q?=0d=0aBcc:_x@y?=", b"=?utf-8?q?=00?=", b"=?utf-8*en?q?x?=", b"=?utf-8?b?4p=?=",
    )  # fmt: skip
    if _ENCODED_WORD.search(raw) and draw.random() < 0.5:
        return _ENCODED_WORD.sub(lambda _: draw.choice(odd), raw, count=draw.randint(1, 5))
    name = draw.choice((b"Subject: ", b"From: ", b"To: ", b"Content-Disposition: attachment; filename="))
    return name + draw.choice(odd) * draw.randint(1, 4) + b"\r\n" + raw


def base64_noise(raw: bytes, draw: Random) -> bytes:
    """What breaks base64: foreign characters, padding in the middle, one character too few."""
    body = _body_at(raw)
    noise = draw.choice((b"!", b"=", b"====", b" ", b"-_", b"\x00", b"A"))
    return raw[:body] + _insert(raw[body:], draw, noise, draw.randint(1, 5))


def quoted_noise(raw: bytes, draw: Random) -> bytes:
    """What breaks quoted-printable: no hex digits, an end in the middle, lower case."""
    body = _body_at(raw)
    noise = draw.choice((b"=", b"=Z", b"=ZZ", b"=\r\n=", b"=c3=a4", b"= \r\n", b"=0", b"=00"))
    return raw[:body] + _insert(raw[body:], draw, noise, draw.randint(1, 9))


def another_body(raw: bytes, draw: Random) -> bytes:
    """The head of a mail before bytes that have nothing to do with it."""
    return raw[: _body_at(raw)] + draw.randbytes(draw.choice((0, 1, 100, 5000)))


def utf_16(raw: bytes, draw: Random) -> bytes:
    """The whole file in the encoding of a text editor."""
    return raw.decode("latin-1").encode(draw.choice(("utf-16", "utf-16-be", "utf-32")))


def _at(raw: bytes, draw: Random) -> int:
    """Anywhere; every other time in the first lines, where more depends on each byte."""
    return draw.randint(0, len(raw) if draw.random() < 0.5 else min(len(raw), 600))


def _body_at(raw: bytes) -> int:
    end = raw.find(b"\r\n\r\n")
    return end + 4 if end >= 0 else len(raw)


def _insert(raw: bytes, draw: Random, piece: bytes, times: int) -> bytes:
    for _ in range(times):
        at = _at(raw, draw)
        raw = raw[:at] + piece + raw[at:]
    return raw


def _line_ends(raw: bytes, draw: Random, end: bytes) -> bytes:
    if draw.random() < 0.5:
        return raw.replace(b"\r\n", end)
    lines = raw.split(b"\r\n")
    return b"".join(line + (end if draw.random() < 0.3 else b"\r\n") for line in lines)


BYTE_DAMAGES: tuple[Damage, ...] = (
    cut, behead, leave_out, repeat_piece, flip, insert_nul, insert_controls, insert_unpaired, bare_lf, bare_cr, double_line_ends,
    charset_label, transfer_label, type_label, boundary_unlike, boundary_lost, boundary_prefix, encoded_word, base64_noise,
    quoted_noise, another_body, utf_16,
)  # fmt: skip
