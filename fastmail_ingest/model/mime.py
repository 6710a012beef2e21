"""Raw bytes of a mail to its parts. A mail is untrusted: damage becomes a defect, never an exception.

fast-mail-parser (Rust) reads nearly everything; what it refuses goes through the stdlib's compat32
parser. Never `email.policy.default`: crafted headers make it raise (cpython#148518) or stall for seconds.
"""

import email
import email.errors
import email.header
import email.message
import email.parser
import email.utils
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import fast_mail_parser
import msgspec

# Decoding encoded-words takes time quadratic in their number: 800 KB of them in one header took 7.5 s.
# Real header blocks are below 20 KB; 64 KiB of encoded-words decode in 50 ms.
HEADER_LIMIT_BYTES = 64 * 1024
# compat32 has no limit of its own; a mail of nothing but part boundaries would cost a node each.
FALLBACK_PARTS_MAX = 200
PARAMETERS_MAX_CHARS = 4096

_T = TypeVar("_T")


class Address(msgspec.Struct, frozen=True):
    """A mailbox from an address header: `address` is local@domain, `name` is decoded or empty."""

    name: str
    address: str


class Attachment(msgspec.Struct, frozen=True):
    """A part that is not the text; its content is decoded when `content()` is called."""

    filename: str
    content_type: str
    content_id: str
    inline: bool
    read: Callable[[], bytes]

    def content(self) -> bytes:
        """Decode the attachment; empty bytes if its transfer encoding is damaged beyond reading."""
        try:
            return self.read()
        except (fast_mail_parser.ParseError, ValueError):
            return b""


class ParsedMail(msgspec.Struct):
    """What the headers and the parts of a mail say, decoded. Absent texts are empty strings."""

    subject: str
    sender: Address | None
    to: list[Address]
    cc: list[Address]
    reply_to: list[Address]
    date: datetime | None
    text: str
    html: str
    headers: dict[str, list[str]]  # names as written, every value of every name, in order
    attachments: list[Attachment]
    defects: list[str]


def parse(raw: bytes) -> ParsedMail:
    """Parse a mail of any quality; never raises for what is in it."""
    defects: list[str] = []
    raw = _limit_headers(raw, defects)
    try:
        return _from_rust(fast_mail_parser.parse_email(raw, mode="lazy"), defects)
    except fast_mail_parser.ParseError as error:
        defects.append(f"parser: {error}")
        return _from_stdlib(_message(raw, defects), defects)


def _message(raw: bytes, defects: list[str]) -> email.message.Message:
    """The stdlib's message; of one that is nested deeper than the stdlib can follow, only the headers."""
    try:
        return email.message_from_bytes(raw)
    except RecursionError:
        defects.append("parts: nested too deeply, only the headers are read")
        return email.parser.BytesHeaderParser().parsebytes(raw.partition(b"\r\n\r\n")[0])


def _limit_headers(raw: bytes, defects: list[str]) -> bytes:
    """Cut a header block that is longer than any honest one."""
    if len(raw) <= HEADER_LIMIT_BYTES:
        return raw
    head_end = raw.find(b"\n\r\n", 0, HEADER_LIMIT_BYTES)
    if head_end >= 0 or raw.find(b"\n\n", 0, HEADER_LIMIT_BYTES) >= 0:
        return raw
    crlf, lf = raw.find(b"\n\r\n"), raw.find(b"\n\n")
    end = min((at for at in (crlf, lf) if at >= 0), default=len(raw))
    defects.append(f"headers: {end} bytes, read only the first {HEADER_LIMIT_BYTES}")
    last_line = raw.rfind(b"\n", 0, HEADER_LIMIT_BYTES)
    kept = last_line if last_line > 0 else HEADER_LIMIT_BYTES
    return raw[:kept] + raw[end:]


def _from_rust(mail: fast_mail_parser.PyLazyMail, defects: list[str]) -> ParsedMail:
    defects.extend(f"{warning.kind}: {warning.detail}" for warning in mail.warnings)
    sender = mail.from_
    return ParsedMail(
        subject=mail.subject,
        sender=_address(sender) if sender is not None else None,
        to=[_address(each) for each in mail.to],
        cc=[_address(each) for each in mail.cc],
        reply_to=[_address(each) for each in mail.reply_to],
        date=_or(None, lambda: mail.date_parsed),  # a year beyond 9999, by its time zone
        text="\n".join(mail.text_plain),
        html="\n".join(mail.text_html),
        headers=mail.headers,
        attachments=[_attachment(each) for each in mail.attachments],
        defects=defects,
    )


def _address(address: fast_mail_parser.PyAddress) -> Address:
    return Address(address.display_name or "", address.address)


def _attachment(part: fast_mail_parser.PyLazyAttachment) -> Attachment:
    return Attachment(
        filename=part.filename,
        content_type=part.mimetype,
        content_id=part.content_id or "",
        inline=part.disposition == "inline",
        read=lambda: part.content,
    )


def _from_stdlib(message: email.message.Message, defects: list[str]) -> ParsedMail:
    """Read what can be read, each piece on its own: one damaged header must not hide the others."""
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attachments: list[Attachment] = []
    for number, part in enumerate(_walk(message)):
        if number >= FALLBACK_PARTS_MAX:
            defects.append(f"parts: more than {FALLBACK_PARTS_MAX}, the rest is not read")
            break
        if part.is_multipart():
            continue
        if _parameters_too_long(part):
            defects.append("parts: one whose parameters are longer than any honest one is not read")
            continue
        content_type = part.get_content_type()
        if content_type in texts and not part.get_filename():
            texts[content_type].append(_part_text(part))
        else:
            attachments.append(_stdlib_attachment(part, content_type))
    headers: dict[str, list[str]] = {}
    for name, value in message.items():
        headers.setdefault(name, []).append(_decoded(value))
    senders = _addresses(message, "From")
    return ParsedMail(
        subject=_decoded(message.get("Subject", "")),
        sender=senders[0] if senders else None,
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        reply_to=_addresses(message, "Reply-To"),
        date=_or(None, lambda: email.utils.parsedate_to_datetime(str(message["Date"]))),
        text="\n".join(texts["text/plain"]),
        html="\n".join(texts["text/html"]),
        headers=headers,
        attachments=attachments,
        defects=defects,
    )


def _walk(message: email.message.Message) -> list[email.message.Message]:
    """All parts, depth first, without recursion: nesting depth is the sender's choice."""
    found: list[email.message.Message] = []
    waiting = [message]
    while waiting and len(found) <= FALLBACK_PARTS_MAX:
        part = waiting.pop()
        found.append(part)
        if part.is_multipart():
            children = [child for child in part.get_payload() if isinstance(child, email.message.Message)]
            waiting.extend(reversed(children))
    return found


def _parameters_too_long(part: email.message.Message) -> bool:
    """The stdlib reads parameters in time quadratic in their length: 60 KB took 1.6 s."""
    named = (str(part.get(name, "")) for name in ("Content-Type", "Content-Disposition"))
    return any(len(value) > PARAMETERS_MAX_CHARS for value in named)


def _stdlib_attachment(part: email.message.Message, content_type: str) -> Attachment:
    return Attachment(
        filename=_or("", lambda: _decoded(part.get_filename() or "")),
        content_type=content_type,
        content_id=str(part.get("Content-ID", "")).strip("<> "),
        inline=str(part.get("Content-Disposition", "")).lower().startswith("inline"),
        read=lambda: _part_bytes(part),
    )


def _part_bytes(part: email.message.Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _part_text(part: email.message.Message) -> str:
    raw = _or(b"", lambda: _part_bytes(part))
    charset = part.get_content_charset("utf-8")
    return _whole(_or("", lambda: raw.decode(charset, "replace")) or raw.decode("latin-1"))


def _whole(text: str) -> str:
    """Text without halves of characters: no codec and no database would take them."""
    return text.encode("utf-8", "replace").decode()


def _decoded(value: object) -> str:
    text = str(value)
    return _whole(_or(text, lambda: str(email.header.make_header(email.header.decode_header(text)))))


def _addresses(message: email.message.Message, name: str) -> list[Address]:
    values = [str(value) for value in message.get_all(name, [])]
    nobody: list[tuple[str, str]] = []
    pairs = _or(nobody, lambda: email.utils.getaddresses(values))
    return [Address(_decoded(display), address) for display, address in pairs if address]


def _or(default: _T, read: Callable[[], _T]) -> _T:
    """Take what `read` gives; the stdlib raises many types on hostile input, all mean "unreadable"."""
    try:
        return read()
    except (
        ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError,
        email.errors.MessageError,
    ):  # fmt: skip
        return default
