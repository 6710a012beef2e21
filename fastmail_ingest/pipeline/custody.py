"""What a worker has been given and not begun: whether it still is its own, and when to give it away.

A worker that was frozen (a stopped process, a suspended machine) or whose consumer group was removed finds
that others have taken its mails over: it asks before it begins a mail that it read some time ago. And one
that a single mail keeps busy must not keep the mail's neighbours waiting.
"""

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane

_log = logging.getLogger(__name__)

# Others take over nothing from a living worker in less time than this (see REGROUP_GRACE_MS and the lease).
STALE_S = 1.0
# A mail that takes longer than this keeps none of its neighbours.
PATIENCE_S = 2.0
_LOOK_EVERY_S = 0.5


def awake_s() -> float:
    """Seconds that also go by while the machine is suspended (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Taken(msgspec.Struct):
    """Entries that were read together; `begun` of them, from the first on, were given to the handler.

    `settlement` is what became of them and is not sent yet; it is touched with `lock` only, since two
    threads do. `settled` is what the second thread has sent, with how many entries were no longer ours.
    """

    entries: list[Entry]
    checked_at: float  # when they surely were ours: the read was sent then; see awake_s
    begun: int = 0
    settlement: Settlement = msgspec.field(default_factory=Settlement)
    settled: list[tuple[Settlement, int]] = msgspec.field(default_factory=list)
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    @property
    def left(self) -> int:
        """How many are still to be begun."""
        return len(self.entries) - self.begun

    def rest(self) -> list[Entry]:
        """Those that are still to be begun."""
        return self.entries[self.begun :]

    def take_settlement(self) -> Settlement:
        """Take what became of the begun since it was last taken."""
        with self.lock:
            taken, self.settlement = self.settlement, Settlement()
        return taken

    def split(self) -> tuple[list[Entry], list[Entry]]:
        """Keep what was begun and give up the rest; returns both. Nothing more is begun from now on."""
        with self.lock:
            begun, rest = self.entries[: self.begun], self.entries[self.begun :]
            self.entries = begun
        return begun, rest

    def replace_rest(self, rest: Sequence[Entry]) -> None:
        """Begin only these, of those that are still to be begun."""
        self.entries[self.begun :] = rest


class Custody:
    """Asks the stream whether entries still are ours, if it was long ago that we knew."""

    def __init__(self, owned: Callable[[Sequence[Entry]], Awaitable[list[Entry]]]) -> None:
        self._owned = owned

    async def check(self, taken: Taken) -> None:
        """Forget of the rest what was given to others; to be called before more of it is begun."""
        now = awake_s()
        if now - taken.checked_at < STALE_S or not taken.left:
            return
        ours = await self._owned(taken.rest())
        if (lost := taken.left - len(ours)) > 0:
            _log.warning("%d mails that were read some time ago belong to other workers now", lost)
        taken.replace_rest(ours)
        taken.checked_at = now


class Stream(Protocol):
    """What a second thread of a worker may do in the stream."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    def settle(self, settlement: Settlement) -> int: ...  # noqa: D102
    def release(self, held: Sequence[tuple[Lane, bytes]]) -> int: ...  # noqa: D102


class Relief:
    """A thread that looks after the neighbours of a mail which keeps the whole worker busy.

    Those that were handled before it are settled, so that nothing is handled again should the worker have
    to be killed; those that come after it are given to the other workers.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._taken: Taken | None = None
        self._stuck_at = (-1, 0.0)  # how many were begun, and since when no more were
        self._ahead_is_void = False
        self._thread: threading.Thread | None = None

    def begin(self, taken: Taken) -> None:
        """From now on the worker can do nothing but handle `taken`."""
        if self._thread is None:  # not before: what a fork takes along must be no running thread
            self._thread = threading.Thread(target=self._watch, name="relief", daemon=True)
            self._thread.start()
        self._taken = taken

    def end(self) -> None:
        """The worker can look after itself again."""
        with self._lock:
            self._taken = None
            self._stuck_at = (-1, 0.0)

    def takes_ahead(self) -> bool:
        """Whether what was read ahead was given away, too; forgets it."""
        void, self._ahead_is_void = self._ahead_is_void, False
        return void

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            with self._lock:
                try:
                    self._look(time.monotonic())
                except Exception:
                    # The worker goes on without relief for this mail; the next one must find it alive.
                    _log.exception("looking after the neighbours of a mail that takes long")

    def _look(self, now: float) -> None:
        taken = self._taken
        if taken is None or taken.begun != self._stuck_at[0]:
            self._stuck_at = (taken.begun if taken is not None else -1, now)
            return
        if now - self._stuck_at[1] < PATIENCE_S:
            return
        begun, rest = taken.split()
        try:
            self._settle(taken)
            moved = self._stream.release([(entry.lane, entry.id) for entry in begun])
        except BaseException as error:
            # It may have been done, or not: the rest is asked for before more of it is begun.
            taken.replace_rest(rest)
            taken.checked_at = 0.0
            if not isinstance(error, self._stream.unavailable):
                raise
            _log.debug("looking after neighbours: %s", error)
            return
        self._ahead_is_void = True
        self._stuck_at = (taken.begun, float("inf"))
        if moved:
            _log.info("one mail takes long: its %d neighbours were given to the other workers", moved)

    def _settle(self, taken: Taken) -> None:
        settlement = taken.take_settlement()
        if not len(settlement):
            return
        try:
            ignored = self._stream.settle(settlement)
        except BaseException:
            with taken.lock:
                taken.settlement = settlement.merged_with(taken.settlement)
            raise
        taken.settled.append((settlement, ignored))
