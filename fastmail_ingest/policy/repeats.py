"""Which of many like log lines are written: a burst, then one line that says how many more there were."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import msgspec

Kind = TypeVar("Kind", bound=Hashable)


class RepeatRule(msgspec.Struct, frozen=True):
    """`burst` lines of a kind are written within `interval_s`; so many kinds are told apart at a time."""

    burst: int = 20
    interval_s: float = 60.0
    kinds_max: int = 1000


class HeldBack(msgspec.Struct, Generic[Kind], frozen=True):
    """How many lines of a kind were not written, in so many seconds."""

    kind: Kind
    count: int
    seconds: float


class _Window(msgspec.Struct):
    began: float
    passed: int = 0
    held: int = 0


class Repeats(Generic[Kind]):
    """Counts lines of each kind from the first one on, for one interval; the next one begins a new interval.

    Times are `now: float` in seconds, on a clock that never goes back.
    """

    def __init__(self, rule: RepeatRule) -> None:
        self._rule = rule
        # In the order in which they began, which is that in which they end.
        self._windows: OrderedDict[Kind, _Window] = OrderedDict()

    def passes(self, kind: Kind, now: float) -> bool:
        """Whether a line of this kind is written; to be asked after `ended`."""
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(now)
        if window.passed < self._rule.burst:
            window.passed += 1
            return True
        window.held += 1
        return False

    def ended(self, now: float) -> Iterator[HeldBack[Kind]]:
        """What is to be told now: of intervals that are over, and of the oldest where there are too many."""
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if now - window.began < self._rule.interval_s and len(self._windows) < self._rule.kinds_max:
                return
            yield from self._end(kind, now)

    def close(self, now: float) -> Iterator[HeldBack[Kind]]:
        """All that was held back and not told yet."""
        while self._windows:
            yield from self._end(next(iter(self._windows)), now)

    def next_end_s(self, now: float) -> float | None:
        """Seconds until an interval ends in which lines are held back; None if there is none."""
        left = (w.began + self._rule.interval_s - now for w in self._windows.values() if w.held)
        return next((max(0.0, seconds) for seconds in left), None)

    def _end(self, kind: Kind, now: float) -> Iterator[HeldBack[Kind]]:
        window = self._windows.pop(kind)
        if window.held:
            yield HeldBack(kind, window.held, min(now - window.began, self._rule.interval_s))
