"""The entities of MIME as bytes: content headers, blank line, body (RFC 2045, 2046)."""

import base64
import binascii
import email.utils
import string
from collections.abc import Sequence
from random import Random
from urllib.parse import quote

CRLF = b"\r\n"
_WORD_CHARS = 5  # 4 bytes each, 3 characters a byte in Q: 60
_NAME_CHARS = 8


def text_part(draw: Random, text: str, subtype: str, charset: str, extra: str = "") -> bytes:
    """A text part in one of the transfer encodings that can carry it. Lines of `text` end in LF."""
    body = text.replace("\n", "\r\n").encode(charset)
    ways = ["base64", "quoted-printable"]
    if max(map(len, body.split(CRLF))) < 990:
        ways += ["8bit"] if any(byte > 127 for byte in body) else ["7bit"]
    way = draw.choice(ways)
    label = draw.choice((charset, charset.upper(), f'"{charset}"'))
    return entity(f"text/{subtype}; charset={label}{extra}", body, way)


def file_part(draw: Random, kind: str, name: str, content: bytes, disposition: str = "attachment") -> bytes:
    """An attachment with its name in one of the forms of RFC 2183 and 2231."""
    named = f"{disposition}; {_filename(draw, name)}"
    return entity(kind, content, "base64", f"Content-Disposition: {named}")


def entity(kind: str, body: bytes, way: str, *more: str) -> bytes:
    """A leaf part; `way` is its Content-Transfer-Encoding."""
    lines = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {way}", *more]
    return "\r\n".join(lines).encode() + CRLF + CRLF + transfer_encoded(body, way)


def transfer_encoded(body: bytes, way: str) -> bytes:
    """The body as it travels (RFC 2045 6)."""
    if way == "base64":
        return base64.encodebytes(body).replace(b"\n", CRLF)
    if way == "quoted-printable":
        return binascii.b2a_qp(body.replace(CRLF, b"\n")).replace(b"\n", CRLF)
    return body


def multipart(draw: Random, subtype: str, parts: Sequence[bytes], extra: str = "") -> bytes:
    """Parts in one; now and then with a preamble and an epilogue, which nobody is to see."""
    boundary = f"{draw.choice(('=_', '--', 'b', 'Apple-Mail=', '----=_Part_'))}{draw.getrandbits(64):x}"
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{extra}\r\n\r\n'.encode()
    mark = b"--" + boundary.encode()
    inner = b"".join(mark + CRLF + part + CRLF for part in parts)
    before = draw.choice((b"", b"This is a multi-part message in MIME format.\r\n"))
    return head + before + inner + mark + b"--" + CRLF + draw.choice((b"", b"", b"epilogue\r\n"))


def header_text(draw: Random, text: str, charset: str) -> str:
    """A header's text, as encoded-words of RFC 2047 where it must be, folded."""
    if text.isascii():
        return text
    # Whole characters in each word (RFC 2047 5), and never above 75 characters.
    pieces = [text[at : at + _WORD_CHARS] for at in range(0, len(text), _WORD_CHARS)]
    coded = draw.choice((_q_coded, _b_coded))
    return "\r\n ".join(f"=?{charset}?{coded(piece.encode(charset))}?=" for piece in pieces)


def _b_coded(data: bytes) -> str:
    return f"B?{base64.b64encode(data).decode()}"


def _q_coded(data: bytes) -> str:
    safe = string.ascii_letters + string.digits
    return "q?" + "".join(chr(byte) if chr(byte) in safe else f"={byte:02X}" for byte in data)


def mailbox(draw: Random, name: str, address: str, charset: str) -> str:
    """`name <address>` of RFC 5322 3.4."""
    shown = f'"{name}"' if name.isascii() else header_text(draw, name, charset)
    return f"{shown} <{address}>"


def _filename(draw: Random, name: str) -> str:
    if name.isascii():
        return f'filename="{name}"'
    if draw.random() < 0.5:
        return f"filename*={email.utils.encode_rfc2231(name, 'utf-8')}"
    pieces = [quote(name[at : at + _NAME_CHARS]) for at in range(0, len(name), _NAME_CHARS)]
    pieces[0] = f"utf-8''{pieces[0]}"
    return ";\r\n ".join(f"filename*{number}*={piece}" for number, piece in enumerate(pieces))
