"""Metrics of the catalogue as prometheus_client makes them, and how many are observed at once."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Literal, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from fastmail_ingest.telemetry.catalogue import OTHER, Definition

_log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., None])


class BatchHistogram(Histogram):
    """A histogram that takes a whole batch for the price of the buckets which it touches."""

    def observe_all(self, values: Sequence[float]) -> None:
        """The same as `observe` for each of the values."""
        self._sum.inc(sum(values))
        # Most are in the first bucket where a handler is quick, and only there it matters what this takes.
        least = self._upper_bounds[0]
        beyond = sorted([value for value in values if not value <= least])
        if below := len(values) - len(beyond):
            self._buckets[0].inc(below)
        self._count(beyond)

    def observe_ages(self, now: float, since: Sequence[float]) -> None:
        """The same for the ages of what began then; 0 for the future. Quick where they are in order."""
        ages = [now - at for at in sorted(since, reverse=True)]
        if ages and ages[0] < 0.0:
            ages = [max(0.0, age) for age in ages]
        self._sum.inc(sum(ages))
        self._count(ages)

    def _count(self, ordered: Sequence[float]) -> None:
        below = 0
        for bucket, bound in zip(self._buckets, self._upper_bounds, strict=True):
            if below == len(ordered):
                return
            upto = bisect_right(ordered, bound, below)
            if upto > below:
                bucket.inc(upto - below)
                below = upto


# Without a registry, as files are read and not registries: a second one in a process does no harm so.


def counter(definition: Definition) -> Counter:
    """The counter of this definition. One a process: each keeps the value that it has written."""
    return Counter(definition.full_name, definition.help, definition.labels, registry=None)


def gauge(definition: Definition, mode: Literal["livemax", "livesum"]) -> Gauge:
    """A gauge that is the largest, or the sum, of those of the living processes."""
    return Gauge(
        definition.full_name, definition.help, definition.labels, registry=None, multiprocess_mode=mode
    )


def histogram(definition: Definition) -> BatchHistogram:
    """The histogram of this definition."""
    return BatchHistogram(
        definition.full_name, definition.help, definition.labels, registry=None, buckets=definition.bounds
    )


class Capped:
    """Label values: the first ones to come, up to `most`; all others are one."""

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._most = most
        self._known = set(known)

    def __call__(self, value: str) -> str:
        """The label for a value."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


def harmless(count: _F) -> _F:
    """A method that counts: what goes wrong in it is told once, and harms no mail."""
    told = False

    @wraps(count)
    def guarded(*args: Any) -> None:
        nonlocal told
        try:
            count(*args)
        except Exception:
            if not told:
                told = True
                _log.exception("counting failed, metrics of this process are not complete")

    return guarded  # type: ignore[return-value]
