"""Mails by their size: small ones into memory, large ones piece by piece into a blob, of too large ones
only the beginning.
"""

import hashlib

import msgspec

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.model.blob import BlobSink
from fastmail_ingest.model.identity import HASH_BYTES
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.swallow import SwallowWatch
from fastmail_ingest.source.wire import Wire

TRUNCATED_KEEP_BYTES = 64 * 1024  # of a mail that is too large: its headers, to see what it was
# No provider takes a mail of this size (Microsoft 365: 150 MB): it is wrong, or of somebody who wants to keep
# us busy for hours.
ANNOUNCED_MAX_BYTES = 1024 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Large(msgspec.Struct, frozen=True):
    """Mails above so many bytes go into a sink and not into memory."""

    above: int
    sink: BlobSink


class Sizes(msgspec.Struct, frozen=True):
    """What becomes of a mail by its size in bytes: up to `whole` it comes into memory, up to `most` into the
    sink, and above that only its beginning is kept. Without a sink `whole` is `most`.
    """

    whole: int
    most: int
    sink: BlobSink | None = None


def sizes(max_mail: int, large: Large | None) -> Sizes:
    """The sizes for a limit of `max_mail` bytes, with or without a place for large mails."""
    if large is None:
        return Sizes(max_mail, max_mail)
    return Sizes(min(large.above, max_mail), max_mail, large.sink)


def read_body(wire: Wire, size: int, limits: Sizes, mail: Fetched) -> None:
    """Read a literal of `size` bytes into `mail`. Raises ProtocolError for a size that no mail has."""
    mail.size = size
    if size <= limits.whole:
        mail.raw = wire.take(size)
    elif size <= limits.most and limits.sink is not None:
        _read_into(limits.sink, wire, size, mail)
    elif size <= ANNOUNCED_MAX_BYTES:
        kept = min(TRUNCATED_KEEP_BYTES, limits.most)
        mail.raw = wire.take(kept)
        mail.truncated = True
        wire.skip(size - kept)
    else:
        raise ProtocolError(f"the mail server announced a mail of {size} bytes")


def _read_into(sink: BlobSink, wire: Wire, size: int, mail: Fetched) -> None:
    draft = mail.draft = sink.begin()
    beginning, hashed, watch = bytearray(), hashlib.sha256(), SwallowWatch()
    left = size
    while left:
        piece = wire.piece(min(left, _PIECE_BYTES))
        left -= len(piece)
        draft.write(piece)
        hashed.update(piece)
        watch.see(piece)
        beginning += piece[: TRUNCATED_KEEP_BYTES - len(beginning)]
    mail.raw, mail.hashed, mail.swallows = bytes(beginning), hashed.digest()[:HASH_BYTES], watch.found
