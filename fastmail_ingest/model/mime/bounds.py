"""What a parser must not be given: every number and length in a mail is the sender's choice.

The libraries read most things in linear time; the bounds below are for what they do not, and for what is
so many that merely naming it takes long. Each bound is far above any honest mail, and what it cuts off is a
defect; the raw mail stays as it came.
"""

import re
from typing import NamedTuple

from fastmail_ingest.model.mime.charset import guessed

# fast-mail-parser refuses more than 100 MiB; servers take 25 to 150 MB.
MAIL_BYTES_MAX = 100 * 1024 * 1024
# Real header blocks are below 20 KB. What is behind the limit is not read, the body is.
HEADER_BYTES_MAX = 64 * 1024
HEADER_LINES_MAX = 2000
# Encoded-words (RFC 2047); a list of 1,000 names may have as many.
WORDS_MAX = 2000
PARTS_MAX = 1000
# Below these sizes no mail is slow, however it is made: most need not be looked through at all.
_FEW_LINES_BYTES = 2 * HEADER_LINES_MAX
_FEW_PARTS_BYTES = 256 * 1024

_BOUNDARY = re.compile(rb"""(?i)boundary[^=\r\n]{0,20}=[ \t]*"?([^"\r\n;]{1,200})""")
_BOUNDARIES_MAX = 100


class Bounded(NamedTuple):
    """A mail within the bounds; `head` is the beginning of `whole`, without the blank line."""

    head: bytes
    whole: bytes
    defects: list[str]


def bounded(raw: bytes) -> Bounded:
    """Cut off what is too much, and mend what would hide the headers from a parser."""
    defects: list[str] = []
    if len(raw) > MAIL_BYTES_MAX:
        defects.append(f"size: {len(raw)} bytes, only the first {MAIL_BYTES_MAX} are read")
        raw = raw[:MAIL_BYTES_MAX]
    if raw[:5] in (b"From ", b">From"):
        raw = _without_mbox_line(raw)
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    end = _head_end(raw)
    came = raw[:end]
    head = came if len(came) <= _FEW_LINES_BYTES and came.isascii() else _bounded_head(came, defects)
    if head is not came:
        raw = head + raw[end:]
    # A single byte is counted three times as fast as three, and hardly any mail has so many.
    if len(raw) > _FEW_PARTS_BYTES and raw.count(b"-") > 2 * PARTS_MAX and raw.count(b"\n--") > PARTS_MAX:
        raw = _first_parts(raw, len(head), defects)
    return Bounded(head, raw, defects)


def _without_mbox_line(raw: bytes) -> bytes:
    """Without the line that an mbox puts before each mail (RFC 4155); `From :` is a header."""
    line, end, rest = raw.partition(b"\n")
    return rest if end and not re.match(rb"From[ \t]*:", line) else raw


def _head_end(raw: bytes) -> int:
    """Where the header block ends: behind the line end of its last line."""
    if raw[:1] == b"\n" or raw[:2] == b"\r\n":
        return 0
    crlf = raw.find(b"\n\r\n")
    end = raw.find(b"\n\n", 0, crlf if crlf >= 0 else len(raw))
    end = crlf if end < 0 else end
    return end + 1 if end >= 0 else len(raw)


def _bounded_head(head: bytes, defects: list[str]) -> bytes:
    if len(head) > HEADER_BYTES_MAX:
        defects.append(f"headers: {len(head)} bytes, only the first {HEADER_BYTES_MAX} are read")
        last_line = head.rfind(b"\n", 0, HEADER_BYTES_MAX)
        head = head[: last_line + 1 if last_line >= 0 else HEADER_BYTES_MAX]
        head = head if head.endswith(b"\n") else head + b"\r\n"
    if head.count(b"\n") > HEADER_LINES_MAX:
        defects.append(f"headers: more than {HEADER_LINES_MAX} lines, the rest is not read")
        head = b"\n".join(head.split(b"\n", HEADER_LINES_MAX)[:-1]) + b"\n"
    if head.count(b"=?") > WORDS_MAX:
        defects.append(f"headers: more than {WORDS_MAX} encoded-words, the rest is not decoded")
        head = _defanged(head, WORDS_MAX)
    if not head.isascii():
        head = _in_utf8(head, defects)
    return head


def _in_utf8(head: bytes, defects: list[str]) -> bytes:
    """RFC 6532 lets headers be UTF-8; others are from programs that wrote their own charset unasked."""
    try:
        head.decode()
    except UnicodeDecodeError:
        text, charset = guessed(head)
        defects.append(f"headers: neither ASCII nor UTF-8, read as {charset}")
        return text.encode("utf-8", "replace")
    return head


def _defanged(head: bytes, words: int) -> bytes:
    """`head` with the encoded-words behind the first ones turned into plain text, by their question marks."""
    *kept, rest = head.split(b"=?", words)
    return b"=?".join([*kept, rest.replace(b"?", b" ")])


def _first_parts(whole: bytes, start: int, defects: list[str]) -> bytes:
    """Cut behind as many parts as we read; lines with other dashes, as in patches, do not count."""
    names = {match[1].rstrip() for match in _BOUNDARY.finditer(whole)}
    if not names or len(names) > _BOUNDARIES_MAX:
        delimiter = re.compile(rb"\n--")
    else:
        delimiter = re.compile(rb"\n--(?:" + b"|".join(map(re.escape, names)) + rb")")
    for number, match in enumerate(delimiter.finditer(whole, max(start - 1, 0))):
        if number > PARTS_MAX:
            defects.append(f"parts: more than {PARTS_MAX}, the rest is not read")
            return whole[: match.start() + 1]
    return whole
