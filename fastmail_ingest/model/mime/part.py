"""A leaf of the MIME tree, however it was read."""

import re
from collections.abc import Callable

import msgspec

# RFC 6838, 4.2: no other character is in a name, none that controls a terminal or begins another header.
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


class Part(msgspec.Struct, frozen=True):
    """What has a content of its own; names are as written, decoded, "" if there are none."""

    content_type: str  # in lower case, text/plain by default (RFC 2045, 5.2)
    charset: str
    disposition: str  # in lower case
    filename: str
    content_id: str
    read: Callable[[], bytes]  # the bytes without their transfer encoding; raises Undecodable

    @property
    def is_text(self) -> bool:
        """Whether it can be what the sender wrote; what else is a file."""
        return self.content_type in ("text/plain", "text/html") and self.disposition != "attachment"


class Undecodable(Exception):
    """A content whose transfer encoding is damaged."""


def media_type(written: str) -> str:
    """The media type that begins what is written; text/plain if none does (RFC 2045, 5.2)."""
    found = _MEDIA_TYPE.match(written.strip().lower())
    return found[0] if found else "text/plain"
