"""Moves an archive of mails into the backfill lane.

The position in the archive moves with the mails, in one step, and mails are named by their content: so dying
anywhere here costs reading some of them a second time, and nothing else.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from fastmail_ingest.errors import ArchiveChanged
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.archived import IMPORTS, Archived, import_key
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key, identify, identify_content
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.ports import Intake
from fastmail_ingest.pipeline.room import Room

_log = logging.getLogger(__name__)
_VALIDITY = 1  # an archive that has changed has another key


class Archive(Protocol):
    """A file or folder with mails in it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    def mails(self, position: int, max_mail: int) -> Iterator[Archived]: ...  # noqa: D102


class ImportPlan(msgspec.Struct, frozen=True):
    """How mails are gathered."""

    account: str
    append_max: int  # mails an append
    append_bytes: int
    max_mail: int  # bytes; what is above becomes a dead letter
    restart: bool = False  # from the beginning, wherever an import before has come to


class ImportCounts(msgspec.Struct):
    """What came of an import so far; `new` and `known` mails were handed over, the others only read."""

    read: int = 0
    new: int = 0
    known: int = 0
    too_large: int = 0
    size: int = 0  # bytes of the mails that were read

    def count(self, mail: Archived) -> None:
        """Note a mail that was read."""
        self.read += 1
        self.size += mail.size
        self.too_large += mail.truncated


class _Moved(Exception):
    """The cursor is not where it was believed to be."""


class Importer:
    """Imports archives one after the other; `counts` tells what came of them all."""

    def __init__(self, intake: Intake, plan: ImportPlan, room: Room, progress: Callable[[], None]) -> None:
        self._intake = intake
        self._plan = plan
        self._room = room
        self._progress = progress
        self.counts = ImportCounts()

    def run(self, archive: Archive) -> None:
        """Import from where the last import of it ended. Raises Stopped, ArchiveError."""
        key = import_key(self._plan.account, archive.fingerprint)
        stored = self._cursor(key)
        position = 0 if self._plan.restart else stored.last_uid
        while True:
            try:
                self._take_over(archive, key, stored, position)
                return
            except _Moved:
                # By an operator, a restore, or another import of the same archive: go on from there.
                stored = self._cursor(key)
                position = stored.last_uid
                _log.info("%s: its position was moved, going on from there", archive.name)
            except ArchiveChanged as error:
                if not position:
                    raise
                _log.warning("%s; reading it from its beginning, known mails are recognised", error)
                position = 0

    def _cursor(self, key: MailboxKey) -> Cursor:
        return self._room.patiently(lambda: self._intake.cursor(key))

    def _take_over(self, archive: Archive, key: MailboxKey, stored: Cursor, position: int) -> None:
        where = f"{IMPORTS}{archive.name}"
        gathered: list[NewMail] = []
        size = 0
        for mail in archive.mails(position, self._plan.max_mail):
            self.counts.count(mail)
            gathered.append(_new_mail(self._plan.account, where, mail))
            position = mail.position
            size += len(mail.raw)
            if len(gathered) >= self._plan.append_max or size >= self._plan.append_bytes:
                stored = self._hand_on(key, gathered, position, stored)
                gathered, size = [], 0
        if gathered:
            self._hand_on(key, gathered, position, stored)

    def _hand_on(self, key: MailboxKey, mails: list[NewMail], position: int, stored: Cursor) -> Cursor:
        """Append and move the cursor; returns where it is now."""
        reached = Cursor(_VALIDITY, position)
        append = Append(key, mails, reached, stored, by_content=True, lane=Lane.BACKFILL, found_in=IMPORTS)
        done = self._room.append(append)
        self.counts.new += done.new
        self.counts.known += len(mails) - done.new
        self._progress()
        if not done.in_place:
            raise _Moved
        return reached


def _new_mail(account: str, mailbox: str, mail: Archived) -> NewMail:
    hashed = content_hash(mail.raw)
    identity = (
        identify(account, mailbox, 0, 0, gm_msgid=mail.gm_msgid)
        if mail.gm_msgid
        else identify_content(account, hashed)
    )
    envelope = codec.Envelope(
        version=codec.CODEC_VERSION,
        id=identity,
        account=account,
        mailbox=mailbox,
        uid_validity=0,
        uid=0,
        flags=mail.flags,
        labels=mail.labels,
        thread_id=mail.thread_id,
        internal_date=mail.internal_date,
        size=mail.size,
        content_hash=hashed,
        fetched_at=time.time(),
        trace_id=os.urandom(16).hex(),
        raw=mail.raw,
        truncated=mail.truncated,
    )
    return NewMail(identity, content_key(account, hashed), codec.encode(envelope))
