"""Whether a mail keeps to the standards, judged by machine, so that nobody can call a mail damaged because two parsers differ."""

import email.header
import email.message
import email.policy
import re
from collections.abc import Iterator

from support.stdlib_reading import Leaf, header, leaves_of, masked_message

# RFC 5322, 3.6; RFC 2045, 3; RFC 2183
_ONCE = ("subject", "from", "to", "cc", "content-type", "content-transfer-encoding", "content-disposition")
_LINE_BYTES_MAX = 998  # RFC 5322, 2.1.1
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_NO_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")
_WORD = re.compile(r"=\?([^?]*)\?([^?]*)\?([^?]*)\?=")
# RFC 2045, 6.7: a line, the last one included, is of these; white space at its end is not text.
_QUOTED_PRINTABLE = re.compile(
    rb"(?:(?:=[0-9A-Fa-f]{2}|[!-<>-~ \t])*=?[ \t]*\r\n)*(?:=[0-9A-Fa-f]{2}|[!-<>-~ \t])*"
)
_ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable")


def flaws(raw: bytes) -> list[str]:
    """What is against the standards; empty for a well-formed mail. Lines end with CRLF."""
    message = masked_message(raw)
    leaves = list(leaves_of(message))
    parts = list(message.walk())
    found = [*_flaws_of_lines(raw), *_flaws_of_addresses(message)]
    for part in parts:
        found += _flaws_of_headers(part)
    for leaf in leaves:
        found += _flaws_of_content(leaf)
    found += [
        type(defect).__name__ for part in parts for defect in part.defects
    ]  # those of the contents, too
    return found


def _flaws_of_lines(raw: bytes) -> Iterator[str]:
    if _NO_LINE_END.search(raw):
        yield "a bare CR or LF, or NUL"
    if max(map(len, raw.split(b"\r\n"))) > _LINE_BYTES_MAX:
        yield f"a line of more than {_LINE_BYTES_MAX} bytes"


def _flaws_of_headers(part: email.message.Message) -> Iterator[str]:
    names = [name.lower() for name, _ in part.raw_items()]
    yield from (f"{name} more than once" for name in _ONCE if names.count(name) > 1)
    yield from (f"header name {name!r}" for name in names if not _FIELD_NAME.fullmatch(name))
    for name, value in part.raw_items():
        text = str(value)
        try:
            text.encode("ascii", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError:
            yield f"{name}: neither ASCII nor UTF-8"
    for name in ("Subject", "From", "To", "Cc", "Content-Disposition"):
        yield from (f"{name}: {flaw}" for flaw in _flaws_of_words(header(part, name)))
    for name in ("Content-Type", "Content-Disposition"):
        yield from _registry_defects(name, header(part, name))


def _flaws_of_addresses(message: email.message.Message) -> Iterator[str]:
    for name in ("From", "To", "Cc"):
        yield from _registry_defects(name, header(message, name))


def _registry_defects(name: str, value: str) -> list[str]:
    """What the stdlib's other parser, which reads headers by the grammar of the RFCs, says of one."""
    if not value.strip():
        return [f"{name}: empty"] if value else []
    try:
        made = email.policy.default.header_factory(name, value)
        return [f"{name}: {type(each).__name__}: {each}" for each in made.defects]
    except Exception as error:  # whatever it stumbles over is no header that RFC 5322 has in mind
        return [f"{name}: {type(error).__name__}"]


def _flaws_of_words(value: str) -> Iterator[str]:
    """RFC 2047, 2 and 5; a word must be whole characters, apart from what is around it."""
    for match in _WORD.finditer(value):
        try:
            ((piece, charset),) = email.header.decode_header(match[0])
            piece.decode(charset)
        except (LookupError, ValueError, AttributeError) as error:
            yield f"a word that cannot be decoded: {error}"
        before, after = value[: match.start()][-1:], value[match.end() :][:1]
        if before.strip(' "(,') or after.strip(' ")<,\t'):
            yield "a word that touches others"
    if "=?" in _WORD.sub("", value):
        yield "half a word"


def _flaws_of_content(leaf: Leaf) -> Iterator[str]:
    """7bit, 8bit and binary are the same to a reader, so that it does not matter which of them is written."""
    part = leaf.part
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if encoding not in _ENCODINGS:
        yield f"Content-Transfer-Encoding {encoding!r}"
    # get_payload would decode it by its charset.
    payload = part._payload.encode("ascii", "surrogateescape")
    if encoding == "quoted-printable" and not _QUOTED_PRINTABLE.fullmatch(payload):
        yield "no quoted-printable"
    if leaf.is_text:
        try:
            (part.get_payload(decode=True) or b"").decode(part.get_content_charset("us-ascii"))
        except (LookupError, ValueError) as error:
            yield f"charset: {error}"
