"""A stream entry in a worker's hand, and what becomes of a batch of them."""

from typing import NamedTuple

import msgspec

from fastmail_ingest.model.lane import Lane


class Entry(msgspec.Struct, gc=False):
    """One entry as it was read: its place in the stream, its payload, its past.

    `failures` counts exceptions of the handler, `returns` how often it came back from a process
    that could not finish it: in both cases the handler may have seen the mail before.
    `deaths` counts the worker deaths it was in hand at.
    """

    lane: Lane
    id: bytes
    payload: bytes
    failures: int = 0
    returns: int = 0
    deaths: int = 0
    blob: str = ""  # where the bytes of a large mail are, noted when the payload is read

    @property
    def attempt(self) -> int:
        """1 for a mail no handler has seen; more if one may have."""
        return 1 + self.failures + self.returns


class NewMail(NamedTuple):
    """A mail on its way into the stream: its identity, its content key, its encoded envelope."""

    identity: str
    content_key: bytes
    payload: bytes


class Delayed(msgspec.Struct, frozen=True):
    """A failed entry that is to be tried again after `after_s` seconds.

    `counts`: whether that was a failure of its own; it was none if something that the handler needs is down.
    """

    entry: Entry
    identity: str
    after_s: float
    error: str
    counts: bool = True


class Dead(msgspec.Struct, frozen=True):
    """An entry that goes to the dead letters, and why."""

    entry: Entry
    identity: str  # empty if the entry could not be read
    reason: str  # rejected, retries_exhausted, killed_worker, hung, undecodable, too_large
    error_type: str
    message: str
    traceback: str = ""


class DoneColumns(msgspec.Struct):
    """The finished entries of one lane: entry ids, identities and fetch times, side by side.

    `size` is how many bytes their payloads have together.
    """

    ids: list[bytes] = []
    identities: list[str] = []
    fetched_at: list[float] = []
    size: int = 0


class Shown(msgspec.Struct, frozen=True):
    """A mail that stands for others in the metrics: of several the one that took longest.

    `fetched_at` is 0.0 for one that is not done.
    """

    took: float
    trace_id: str
    lane: Lane
    fetched_at: float


class Settlement(msgspec.Struct):
    """What became of a number of entries, to be written in one call."""

    done: dict[Lane, DoneColumns] = {}
    delayed: list[Delayed] = []
    dead: list[Dead] = []
    blobs: list[str] = []  # of the finished entries: nobody needs them when this is written
    took: list[float] = []  # seconds from opening each entry to the end of its handler's call
    shown: Shown | None = None

    def add_done(self, entry: Entry, identity: str, fetched_at: float) -> None:
        """Note that the handler returned for this entry."""
        columns = self.done.get(entry.lane)
        if columns is None:
            columns = self.done[entry.lane] = DoneColumns()
        columns.ids.append(entry.id)
        columns.identities.append(identity)
        columns.fetched_at.append(fetched_at)
        columns.size += len(entry.payload)
        if entry.blob:
            self.blobs.append(entry.blob)

    def add_failed(self, failed: "Delayed | Dead") -> None:
        """Note an entry that the handler did not finish."""
        if isinstance(failed, Delayed):
            self.delayed.append(failed)
        else:
            self.dead.append(failed)

    def merged_with(self, other: "Settlement") -> "Settlement":
        """Both as one; either may be used up by it."""
        if not len(self):
            return other
        for lane, columns in other.done.items():
            known = self.done.get(lane)
            if known is None:
                self.done[lane] = columns
            else:
                known.ids += columns.ids
                known.identities += columns.identities
                known.fetched_at += columns.fetched_at
                known.size += columns.size
        self.delayed += other.delayed
        self.dead += other.dead
        self.blobs += other.blobs
        self.took += other.took
        if self.shown is None or (other.shown is not None and other.shown.took > self.shown.took):
            self.shown = other.shown
        return self

    @property
    def done_count(self) -> int:
        """How many entries are done."""
        return sum(len(columns.ids) for columns in self.done.values())

    def __len__(self) -> int:
        return self.done_count + len(self.delayed) + len(self.dead)
