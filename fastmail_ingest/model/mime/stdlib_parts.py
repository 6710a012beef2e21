"""The parts of a mail as the stdlib's compat32 parser finds them: slower, but it takes damaged ones, too."""

import email
import email.errors
import email.message
import email.parser
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from fastmail_ingest.model.mime.header_text import one_line, words_decoded
from fastmail_ingest.model.mime.part import Part, media_type

# Each line is matched with the boundaries of all that is around it, so that time is depth times lines.
NESTING_MAX = 40
_NESTING = re.compile(rb"(?i)boundary[^=\r\n]{0,20}=|message/")
# So named, messages within the mail keep their bytes; the stdlib would take them apart and write them anew.
_MASK = b"x-within-"
_DIGEST = "multipart/x-within-digest"
_TO_MASK = re.compile(rb"(?im)^(content-type:\s*(?:multipart/)?)(?=message/|(?<=/)digest)")
_MASKED = re.compile(rb"(?im)^(content-type:\s*(?:multipart/)?)" + _MASK)
# Parameters are read in time quadratic in their number: 60 KB took 1.6 s.
_LONG_FIELD = re.compile(rb"(?im)^(?=content-(?:type|disposition)[ \t]*:)[^\n]*(?:\n[ \t][^\n]*)*")
_FIELD_BYTES_MAX = 4096
_SEPARATORS_MAX = 200
_TOKEN = re.compile(r"[\w-]+")

_T = TypeVar("_T")


def stdlib_parts(whole: bytes, defects: list[str]) -> Iterator[Part]:
    """The leaves in their order; a message within the mail is one leaf.

    So is a container in which no part begins: what is in it is text.
    """
    masked = _TO_MASK.sub(rb"\1" + _MASK, _without_long_fields(_shallow(whole, defects), defects))
    waiting = [(_message(masked, defects), "text/plain")]
    while waiting:
        node, default = waiting.pop()
        if node.is_multipart():
            # RFC 2046, 5.1.5
            default = "message/rfc822" if node.get_content_type() == _DIGEST else "text/plain"
            waiting.extend((child, default) for child in reversed(_children(node)))
        elif node.get_content_maintype() == "multipart":
            if _or("", lambda node=node: str(node.get_payload())).strip():  # type: ignore[misc]
                defects.append("parts: none begins in a multipart, what is in it is read as text")
                yield _part(node, "text/plain")
        else:
            yield _part(node, node.get_content_type() if "Content-Type" in node else default)


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
    except (RecursionError, TypeError, ValueError, LookupError):  # boundaries in pieces that do not fit
        defects.append("parts: nested too deeply, or a boundary that cannot be read: none is read")
        return email.parser.BytesHeaderParser().parsebytes(whole.partition(b"\r\n\r\n")[0])


def _children(node: email.message.Message) -> list[email.message.Message]:
    return [child for child in node.get_payload() if isinstance(child, email.message.Message)]


def _without_long_fields(whole: bytes, defects: list[str]) -> bytes:
    def cut(field: re.Match[bytes]) -> bytes:
        many = field[0].count(b";") + field[0].count(b'"') > _SEPARATORS_MAX
        if len(field[0]) < _FIELD_BYTES_MAX or not many:
            return field[0]
        defects.append("parts: parameters that are longer than any honest ones are not read")
        return b"X-Too-Long: 1"

    return _LONG_FIELD.sub(cut, whole)


def _part(node: email.message.Message, content_type: str) -> Part:
    return Part(
        content_type=media_type(content_type.removeprefix(_MASK.decode())),
        charset=_or("", lambda: str(node.get_content_charset(""))),
        disposition=_or("", lambda: node.get_content_disposition() or ""),
        filename=_or("", lambda: words_decoded(one_line(node.get_filename() or ""))),
        content_id=one_line(str(node.get("Content-ID", ""))).strip("<> "),
        read=lambda: _or(b"", lambda: _content(node)),
    )


def _content(node: email.message.Message) -> bytes:
    said = str(node.get("Content-Transfer-Encoding", ""))
    if (token := _TOKEN.search(said)) and token[0] != said:  # a comment or white space behind it hides it
        node.replace_header("Content-Transfer-Encoding", token[0])
    payload = node.get_payload(decode=True)
    return _MASKED.sub(rb"\1", payload) if isinstance(payload, bytes) else b""


def _or(default: _T, read: Callable[[], _T]) -> _T:
    """Take what `read` gives; the stdlib raises many types on hostile input, all mean "unreadable"."""
    try:
        return read()
    except (
        ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError,
        email.errors.MessageError,
    ):  # fmt: skip
        return default
