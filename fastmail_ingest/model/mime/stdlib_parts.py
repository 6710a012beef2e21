"""The parts of a mail as the stdlib's compat32 parser finds them: slower, but it takes damaged ones, too."""

import email
import email.errors
import email.header
import email.message
import email.parser
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from fastmail_ingest.model.mime.header_text import one_line, words_decoded
from fastmail_ingest.model.mime.part import Part

# Each line is matched with the boundaries of all that is around it, so that time is depth times lines.
NESTING_MAX = 40
_NESTING = re.compile(rb"(?i)boundary[^=\r\n]{0,20}=|message/")
_PARAMETERS_CHARS_MAX = 4096  # read in time quadratic in their length: 60 KB took 1.6 s

_T = TypeVar("_T")


def stdlib_parts(whole: bytes, defects: list[str]) -> Iterator[Part]:
    """The leaves in their order; a message within the mail is one leaf."""
    waiting = [_message(_shallow(whole, defects), defects)]
    while waiting:
        node = waiting.pop()
        if node.is_multipart() and node.get_content_maintype() == "multipart":
            waiting.extend(reversed(_children(node)))
        elif _parameters_too_long(node):
            defects.append("parts: one whose parameters are longer than any honest one is not read")
        else:
            yield _part(node)


def _shallow(whole: bytes, defects: list[str]) -> bytes:
    for number, match in enumerate(_NESTING.finditer(whole)):
        if number >= NESTING_MAX:
            defects.append(f"parts: more than {NESTING_MAX} containers, the rest is not read")
            return whole[: match.start()]
    return whole


def _message(whole: bytes, defects: list[str]) -> email.message.Message:
    """The stdlib's message; of one that is nested deeper than the stdlib can follow, only the headers."""
    try:
        return email.message_from_bytes(whole)
    except RecursionError:
        defects.append("parts: nested too deeply, none is read")
        return email.parser.BytesHeaderParser().parsebytes(whole.partition(b"\r\n\r\n")[0])


def _children(node: email.message.Message) -> list[email.message.Message]:
    return [child for child in node.get_payload() if isinstance(child, email.message.Message)]


def _parameters_too_long(node: email.message.Message) -> bool:
    named = (str(node.get(name, "")) for name in ("Content-Type", "Content-Disposition"))
    return any(len(value) > _PARAMETERS_CHARS_MAX for value in named)


def _part(node: email.message.Message) -> Part:
    return Part(
        content_type=node.get_content_type(),
        charset=_or("", lambda: str(node.get_content_charset(""))),
        disposition=_or("", lambda: node.get_content_disposition() or ""),
        filename=_or("", lambda: words_decoded(one_line(node.get_filename() or ""))),
        content_id=one_line(str(node.get("Content-ID", "")).strip().strip("<>")),
        read=lambda: _or(b"", lambda: _content(node)),
    )


def _content(node: email.message.Message) -> bytes:
    if node.is_multipart():  # message/rfc822, or the groups of message/delivery-status
        content = b"\r\n".join(child.as_bytes() for child in _children(node))
        return _decoded(content, str(node.get("Content-Transfer-Encoding", "")).strip().lower())
    payload = node.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _decoded(content: bytes, encoding: str) -> bytes:
    """RFC 2046, 5.2.1, forbids to encode an enclosed message; the stdlib does not decode those that are."""
    if encoding not in ("base64", "quoted-printable"):
        return content
    part = email.message.Message()
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(content.decode("ascii", "surrogateescape").lstrip())
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else content


def _or(default: _T, read: Callable[[], _T]) -> _T:
    """Take what `read` gives; the stdlib raises many types on hostile input, all mean "unreadable"."""
    try:
        return read()
    except (
        ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError,
        email.errors.MessageError,
    ):  # fmt: skip
        return default
