"""A leaf of the MIME tree, however it was read."""

from collections.abc import Callable

import msgspec


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
