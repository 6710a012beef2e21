"""Room in the stream: waits while it is full, and while Redis is away.

Live mail pauses at marks of its own. A backfill stays well below them, so it never makes live mail wait.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.ports import Intake
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.policy.pressure import Load, Marks, too_full

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Of the marks for live mail: what a backfill may fill.
SHARE = 0.5
_MEMORY_MARGIN = 0.05
_PRESSURE_CHECK_S = 0.05
_MEMORY_CHECK_S = 1.0


def backfill_marks(live: Marks) -> Marks:
    """Marks for a backfill, so far below those for live mail that this never has to pause for it."""
    return Marks(
        max(1, int(live.mails * SHARE)),
        max(1, int(live.size * SHARE)),
        max(0.0, live.memory - _MEMORY_MARGIN),
    )


class Room:
    """Appends when there is room and Redis is there."""

    def __init__(self, intake: Intake, marks: Marks, stopper: Stopper, outage: Outage) -> None:
        self._intake = intake
        self._marks = marks
        self._stopper = stopper
        self._outage = outage
        self._load = Load()  # as far as we know
        self._memory_due = 0.0
        self.waiting: Callable[[str], None] = lambda _: None  # hears why we wait; "" when it goes on
        self.alive: Callable[[], None] = lambda: None  # called at every step, also while waiting

    def append(self, append: Append, before: Callable[[], None] = lambda: None) -> Appended:
        """Append as soon as there is room. Raises as `put` does."""
        self.wait()
        return self.put(append, before)

    def put(self, append: Append, before: Callable[[], None] = lambda: None) -> Appended:
        """Append whether there is room or not, calling `before` right before each attempt.

        Raises Stopped when told to stop meanwhile, and what `before` raises.
        """

        def attempt() -> Appended:
            before()
            return self._intake.append(append)

        done = self.patiently(attempt)
        self._load = msgspec.structs.replace(self._load, mails=done.waiting, size=done.size)
        return done

    def is_there(self) -> bool:
        """Whether there is room for more than what is under way. Raises Stopped when told to stop."""
        self._measure_memory()
        return not too_full(self._marks, self._load, pausing=True)

    def wait(self) -> None:
        """Wait until there is room; raises Stopped when told to stop meanwhile."""
        self._stopper.check()
        self._measure_memory()
        if not (reason := too_full(self._marks, self._load, pausing=False)):
            return
        self.waiting(reason)
        while too_full(self._marks, self._load, pausing=True):
            if not self._stopper.wait(_PRESSURE_CHECK_S):
                raise Stopped
            mails, size = self.patiently(self._intake.waiting)
            self._load = msgspec.structs.replace(self._load, mails=mails, size=size)
            self._measure_memory()
        self.waiting("")

    def _measure_memory(self) -> None:
        now = time.monotonic()
        if now >= self._memory_due:
            memory = self.patiently(self._intake.memory)
            share = memory.used / memory.limit if memory.limit else 0.0
            self._load = msgspec.structs.replace(self._load, memory=share)
            self._memory_due = now + _MEMORY_CHECK_S

    def patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask Redis until it answers; raises Stopped when told to stop meanwhile."""
        while True:
            self.alive()
            try:
                answer = ask()
            except self._intake.unavailable as error:
                _log.warning("Redis is away (%s), trying again", error)
                if not self._stopper.wait(self._outage.wait_s(error)):
                    raise Stopped from error
                self._outage.asking()
            else:
                self._outage.over()
                return answer
