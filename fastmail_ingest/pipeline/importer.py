"""Moves an archive of mails into the backfill lane.

The position in the archive moves with the mails, in one step, and mails are named by their content: so dying
anywhere here costs reading some of them a second time, and nothing else.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import msgspec

from fastmail_ingest.errors import ArchiveChanged, ArchiveError, BlobUnavailable
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.archived import IMPORTS, Archived, import_key
from fastmail_ingest.model.blob import BlobSink
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key, identify, identify_content
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.large import Underway
from fastmail_ingest.pipeline.ports import Intake
from fastmail_ingest.pipeline.room import Room

_log = logging.getLogger(__name__)
BEGINNING_BYTES = 64 * 1024  # of a mail in a blob, that its entry has, too
AHEAD = 2  # appends under way while the next mails are read: one of them is on its way to Redis, one is taken
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
    inline_limit: int  # bytes; what is above goes into a blob
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


class _Batch(NamedTuple):
    """Mails to be appended together, the position behind them, and the blobs of the large ones."""

    mails: list[NewMail]
    position: int
    large: Underway


class _Moved(Exception):
    """The cursor is not where it was believed to be."""


class Importer:
    """Imports archives one after the other; `counts` tells what came of them all."""

    def __init__(
        self, intake: Intake, plan: ImportPlan, room: Room, sink: BlobSink, progress: Callable[[], None]
    ) -> None:
        self._intake = intake
        self._sink = sink
        self._plan = plan
        self._room = room
        self._progress = progress
        self.counts = ImportCounts()

    def run(self, archive: Archive) -> None:
        """Import from where the last import of it ended.

        Raises Stopped; ArchiveError; BlobUnavailable or SourceUnavailable if a large mail cannot be kept.
        """
        key = import_key(self._plan.account, archive.fingerprint)
        self._room.patiently(lambda: self._intake.name_import(key, archive.name))
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
        # While Redis takes some mails, the next are read: each of the two costs about the same.
        with ThreadPoolExecutor(1, "append") as beside:
            appending = _Appending(beside, self._append)
            try:
                for batch in self._batches(archive, position):
                    append = Append(
                        key, batch.mails, Cursor(_VALIDITY, batch.position), stored,
                        by_content=True, lane=Lane.BACKFILL, found_in=IMPORTS,
                    )  # fmt: skip
                    self._note(appending.begin(append, batch.large))
                    stored = append.cursor
            except (_Moved, ArchiveError, BlobUnavailable):
                self._note(appending.finish())
                raise
            self._note(appending.finish())

    def _append(self, append: Append, large: Underway) -> Appended:
        done = self._room.append(append, large.renew)
        large.appended(all_new=done.new == len(append.mails))
        return done

    def _batches(self, archive: Archive, position: int) -> Iterator[_Batch]:
        where = f"{IMPORTS}{archive.name}"
        batch, size = self._empty_batch(position), 0
        broken: ArchiveError | BlobUnavailable | None = None
        try:
            for mail in archive.mails(position, self._plan.max_mail):
                batch.mails.append(self._new_mail(where, mail, batch.large))
                self.counts.count(mail)
                batch = batch._replace(position=mail.position)
                size += len(mail.raw)
                if len(batch.mails) >= self._plan.append_max or size >= self._plan.append_bytes:
                    yield batch
                    batch, size = self._empty_batch(mail.position), 0
        except (ArchiveError, BlobUnavailable) as error:
            broken = error  # what came before is good
        if batch.mails:
            yield batch
        if broken is not None:
            raise broken

    def _empty_batch(self, position: int) -> _Batch:
        return _Batch([], position, Underway(self._intake, self._room.patiently))

    def _new_mail(self, where: str, mail: Archived, large: Underway) -> NewMail:
        """Raises BlobUnavailable for a large mail that cannot be kept."""
        account, hashed = self._plan.account, content_hash(mail.raw)
        identity = (
            identify(account, where, 0, 0, gm_msgid=mail.gm_msgid)
            if mail.gm_msgid
            else identify_content(account, hashed)
        )
        blob, raw = "", mail.raw
        if len(raw) > self._plan.inline_limit:
            draft = self._sink.begin()
            draft.write(raw)
            blob, raw = large.keep(identity, draft), raw[:BEGINNING_BYTES]
        payload = codec.encode(_envelope(identity, where, mail, (hashed, raw, blob)))
        return NewMail(identity, content_key(account, hashed), payload)

    def _note(self, finished: Iterable[tuple[int, Appended]]) -> None:
        moved = False
        for count, done in finished:
            self.counts.new += done.new
            self.counts.known += count - done.new
            self._progress()
            moved = moved or not done.in_place
        if moved:
            raise _Moved


class _Appending:
    """Appends that are under way, in order; never more than AHEAD."""

    def __init__(self, beside: ThreadPoolExecutor, append: Callable[[Append, Underway], Appended]) -> None:
        self._beside = beside
        self._append = append
        self._under_way: deque[tuple[int, Future[Appended]]] = deque()

    def begin(self, append: Append, large: Underway) -> Iterator[tuple[int, Appended]]:
        """Begin one when fewer are under way; yields how many mails older ones had and what came of them."""
        yield from self.finish(AHEAD - 1)
        self._under_way.append((len(append.mails), self._beside.submit(self._append, append, large)))

    def finish(self, left: int = 0) -> Iterator[tuple[int, Appended]]:
        """Wait until only so many are under way; yields as `begin`."""
        while len(self._under_way) > left:
            count, future = self._under_way.popleft()
            yield count, future.result()


def _envelope(identity: str, where: str, mail: Archived, content: tuple[bytes, bytes, str]) -> codec.Envelope:
    hashed, raw, blob = content
    return codec.Envelope(
        version=codec.BLOB_VERSION if blob else codec.CODEC_VERSION,
        id=identity,
        account=identity.partition(":")[0],
        mailbox=where,
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
        raw=raw,
        truncated=mail.truncated,
        blob=blob,
    )
