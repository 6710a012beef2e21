"""A mail as the stdlib's compat32 parser alone reads it: a second opinion, which shares no code with ours.

What is to be read is what `Email` documents: `text` and `html` are the parts of these types that are no attachments and
have no name, or, if all have one, those with names; messages within the mail are one file each.
"""

import contextlib
import email
import email.errors
import email.header
import email.message
import email.utils
import re
from collections.abc import Iterator
from typing import NamedTuple

# Masked by "x-", messages within a mail are read as bytes; the stdlib would take them apart and keep what it made of them.
_TO_MASK = re.compile(rb"(?im)^(content-type:\s*(?:multipart/)?)(?=message/|(?<=/)digest)")
_MASKED = re.compile(rb"(?im)^(content-type:\s*(?:multipart/)?)x-(?=message/|(?<=/x-)digest)")


class Reading(NamedTuple):
    """What a mail says; white space in what stands in headers is single."""

    subject: str
    sender: str
    sender_name: str
    to: list[tuple[str, str]]  # name, address
    cc: list[tuple[str, str]]
    text: str
    html: str
    names: list[str]  # of the files
    types: list[str]
    contents: list[bytes]


class Leaf(NamedTuple):
    """A part without parts, and its media type."""

    part: email.message.Message
    content_type: str

    @property
    def is_text(self) -> bool:
        """Whether it can be what the sender wrote."""
        is_file = self.part.get_content_disposition() == "attachment"
        return self.content_type in ("text/plain", "text/html") and not is_file


def stdlib_reading(raw: bytes) -> Reading:
    """What the stdlib finds; of what it cannot decode something with replacement characters."""
    message = masked_message(raw)
    leaves = list(leaves_of(message))
    texts = [leaf for leaf in leaves if leaf.is_text]
    texts = [leaf for leaf in texts if not leaf.part.get_filename()] or texts
    files = [leaf for leaf in leaves if leaf not in texts]
    senders = _addresses(header(message, "From"))[:1]
    return Reading(
        subject=words(header(message, "Subject")),
        sender="".join(address for _, address in senders),
        sender_name="".join(name for name, _ in senders),
        to=_addresses(header(message, "To")),
        cc=_addresses(header(message, "Cc")),
        text="\n".join(_text(leaf.part) for leaf in texts if leaf.content_type == "text/plain"),
        html="\n".join(_text(leaf.part) for leaf in texts if leaf.content_type == "text/html"),
        names=[words(leaf.part.get_filename() or "") for leaf in files],
        types=[leaf.content_type for leaf in files],
        contents=[content(leaf.part) for leaf in files],
    )


def masked_message(raw: bytes) -> email.message.Message:
    """The mail, in which messages are leaves; see `leaves_of` and `content`."""
    return email.message_from_bytes(_TO_MASK.sub(rb"\1x-", raw))


def leaves_of(message: email.message.Message, default: str = "text/plain") -> Iterator[Leaf]:
    """Every part without parts, in order; containers that hold none are no files."""
    if message.is_multipart():
        # RFC 2046, 5.1.5
        default = "message/rfc822" if message.get_content_type() == "multipart/x-digest" else "text/plain"
        for part in message.get_payload():
            yield from leaves_of(part, default)
    elif message.get_content_maintype() != "multipart":
        content_type = message.get_content_type() if "Content-Type" in message else default
        yield Leaf(message, content_type.replace("x-message/", "message/"))


def header(message: email.message.Message, name: str) -> str:
    """The first header of a name, unfolded; bytes above 127 are UTF-8 (RFC 6532)."""
    value = next((str(value) for each, value in message.raw_items() if each.lower() == name.lower()), "")
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    return unfolded.encode("ascii", "surrogateescape").decode("utf-8", "replace")


def words(value: str) -> str:
    """A header's text, decoded (RFC 2047); as it came if it cannot be."""
    with contextlib.suppress(ValueError, LookupError, email.errors.HeaderParseError):
        value = str(email.header.make_header(email.header.decode_header(value)))
    return " ".join(value.split())


def content(part: email.message.Message) -> bytes:
    """The bytes of a leaf."""
    payload = part.get_payload(decode=True)
    return _MASKED.sub(rb"\1", payload) if isinstance(payload, bytes) else b""


def _addresses(value: str) -> list[tuple[str, str]]:
    return [(words(name), address) for name, address in email.utils.getaddresses([value]) if address]


def _text(part: email.message.Message) -> str:
    try:
        return content(part).decode(part.get_content_charset("us-ascii"), "replace")
    except LookupError:
        return content(part).decode("utf-8", "replace")
