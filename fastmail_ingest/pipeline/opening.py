"""From entries to the mails in them, one by one or as many as a batch handler is given at a time."""

import logging
from collections.abc import Sequence

import msgspec

from fastmail_ingest.config.section import MIB
from fastmail_ingest.errors import UndecodableEntry
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Dead, Entry, Settlement
from fastmail_ingest.model.scope import fields
from fastmail_ingest.pipeline.judge import OpenedMail

# Of raw mail, or one larger mail: a batch handler may parse all that it is given, and hold it in memory.
PART_BYTES = 16 * MIB

_log = logging.getLogger(__name__)


def open_mail(entry: Entry, settlement: Settlement, blobs: BlobSource | None = None) -> OpenedMail | None:
    """Decode an entry; one that no handler can be given goes to the dead letters, and None is returned.

    The bytes of a large mail are in `blobs`; they are not looked for before the handler wants them.
    """
    try:
        envelope = codec.decode(entry.payload)
    except UndecodableEntry as error:
        settlement.dead.append(Dead(entry, "", "undecodable", "UndecodableEntry", str(error)))
        _log.error("entry %s of lane %s is a dead letter now: %s", entry.id.decode(), entry.lane.label, error)
        return None
    if envelope.truncated:
        message = f"{envelope.size} bytes are more than producer.max_mail; only the beginning was kept"
        settlement.dead.append(Dead(entry, envelope.id, "too_large", "MailTooLarge", message))
        _log.error("mail %s is a dead letter now: %s", envelope.id, message, extra=fields(envelope))
        return None
    if envelope.blob:
        entry.blob = envelope.blob
    return OpenedMail(entry, Email(envelope, entry.attempt, entry.lane, blobs), envelope.fetched_at)


class Part(msgspec.Struct):
    """The mails for one call of a batch handler, and what became of the other entries opened for it.

    `begun` is how many entries that are together.
    """

    mails: list[OpenedMail] = []
    settlement: Settlement = msgspec.field(default_factory=Settlement)
    begun: int = 0


def open_part(entries: Sequence[Entry], count_max: int, blobs: BlobSource | None = None) -> Part:
    """The first of `entries`: at most `count_max`, of PART_BYTES together or a single mail.

    A mail that was in hand when a worker died is a part of its own.
    """
    part, size = Part(), 0
    for entry in entries[:count_max]:
        if entry.deaths and part.begun:
            break
        opened = open_mail(entry, part.settlement, blobs)
        if opened is not None:
            size += opened.email.size
            if part.mails and size > PART_BYTES:
                break
            part.mails.append(opened)
        part.begun += 1
        if entry.deaths:
            break
    return part
