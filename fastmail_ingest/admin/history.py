"""The last hour, second by second, in memory that outlives the process which writes it."""

import mmap
from collections.abc import Iterator, Sequence

from msgspec import Struct

SECONDS = 3600
COUNTS = ("fetched", "handled", "retried", "dead", "latency_us")
LEVELS = ("to_handle", "waiting_for_retry", "dead_letters")
QUANTILES = ("p50_ms", "p95_ms", "p99_ms")
_NO_LEVELS, _NO_QUANTILES = [-1.0] * len(LEVELS), [-1.0] * len(QUANTILES)
_WIDTH = 1 + len(COUNTS) + len(LEVELS) + len(QUANTILES)
_BYTES = 8
_SUMS_AT = SECONDS * _WIDTH


class Series(Struct, frozen=True):
    """Steps of `step_s` seconds, oldest first; `time` is the epoch second in which each begins.

    What is counted is per second. `latency_ms` is the mean from fetched to settled of all mails; quantiles
    are of new mails, looked at every five seconds. All of them are None where nothing was settled.
    Levels are those at the end of the step, None while Redis does not answer.
    """

    step_s: int
    time: list[int]
    fetched_per_s: list[float]
    handled_per_s: list[float]
    retried_per_s: list[float]
    dead_per_s: list[float]
    latency_ms: list[float | None]
    p50_ms: list[float | None]
    p95_ms: list[float | None]
    p99_ms: list[float | None]
    to_handle: list[int | None]
    waiting_for_retry: list[int | None]
    dead_letters: list[int | None]


class History:
    """One row a second. Made before the process that writes it is forked, so that its successor goes on."""

    def __init__(self) -> None:
        # Behind the rows: the sums of all COUNTS that were noted.
        self._cells = memoryview(mmap.mmap(-1, (SECONDS * _WIDTH + len(COUNTS)) * _BYTES)).cast("d")

    def note(
        self,
        second: int,
        sums: Sequence[int],
        levels: Sequence[int] | None,
        quantiles: Sequence[float] | None = None,
    ) -> None:
        """Note the sums of COUNTS, the LEVELS and the QUANTILES (None: not known) in an epoch second.

        What is above the sums that were noted before, maybe by a process that died, happened in that second.
        """
        before = [self._cells[_SUMS_AT + offset] for offset in range(len(COUNTS))]
        # A sum is a little short while a slot goes from one child to the next: nothing is counted backwards.
        for offset, (new, old) in enumerate(zip(sums, before, strict=True)):
            self._cells[_SUMS_AT + offset] = max(new, old)
        known = self._row(second) or [0.0] * len(COUNTS) + _NO_LEVELS + _NO_QUANTILES
        row = [there + max(0, new - old) for there, new, old in zip(known, sums, before, strict=False)]
        row += levels or _NO_LEVELS
        row += quantiles or known[-len(QUANTILES) :]
        at = second % SECONDS * _WIDTH
        self._cells[at] = 0.0  # whoever dies in here leaves no half a row
        for offset, value in enumerate(row, 1):
            self._cells[at + offset] = value
        self._cells[at] = float(second)

    def _row(self, second: int) -> list[float] | None:
        at = second % SECONDS * _WIDTH
        row: list[float] = self._cells[at : at + _WIDTH].tolist()  # type: ignore[assignment] # cast("d")
        return row[1:] if row[0] == second else None

    def lowest(self, level: str, seconds: int, now: int) -> int | None:
        """The lowest value of a level in the last seconds, None if it is not known."""
        column = len(COUNTS) + LEVELS.index(level)
        found = [row[column] for second in range(now - seconds, now + 1) if (row := self._row(second))]
        return int(min(known)) if (known := [value for value in found if value >= 0]) else None

    def rates(self, seconds: int, now: int) -> dict[str, float | None]:
        """What happened per second in the last whole seconds before `now`, and the mean latency in ms."""
        rows = [row for second in range(now - seconds, now) if (row := self._row(second))]
        sums = [sum(column) for column in zip(*rows, strict=True)] or [0.0] * _WIDTH
        rates: dict[str, float | None] = {
            f"{name}_per_s": round(sums[at] / max(1, len(rows)), 3) for at, name in enumerate(COUNTS[:-1])
        }
        return rates | {"latency_ms": _mean_ms(sums), **_latest(rows)}

    def series(self, seconds: int, step_s: int, now: int) -> Series:
        """The last `seconds` before `now` in steps that begin at multiples of `step_s`."""
        made = Series(step_s, *([] for _ in range(12)))
        for start, rows in self._steps(seconds, step_s, now):
            sums = [sum(column) for column in zip(*rows, strict=True)]
            made.time.append(start)
            rates = (made.fetched_per_s, made.handled_per_s, made.retried_per_s, made.dead_per_s)
            for column, rate in enumerate(rates):
                rate.append(round(sums[column] / step_s, 3))
            made.latency_ms.append(_mean_ms(sums))
            quantiles = (made.p50_ms, made.p95_ms, made.p99_ms)
            for column_of, latest in zip(quantiles, _latest(rows).values(), strict=True):
                column_of.append(latest)
            levels = (made.to_handle, made.waiting_for_retry, made.dead_letters)
            for value, level in zip(rows[-1][len(COUNTS) :], levels, strict=False):
                level.append(int(value) if value >= 0 else None)
        return made

    def _steps(self, seconds: int, step_s: int, now: int) -> Iterator[tuple[int, list[list[float]]]]:
        for start in range((now - seconds) // step_s * step_s, now, step_s):
            rows = [row for at in range(start, min(start + step_s, now)) if (row := self._row(at))]
            if rows:
                yield start, rows


def _mean_ms(sums: Sequence[float]) -> float | None:
    handled, latency_us = sums[COUNTS.index("handled")], sums[COUNTS.index("latency_us")]
    return round(latency_us / handled / 1000, 3) if handled else None


def _latest(rows: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """The last quantiles that are known."""
    known = next((row for row in reversed(rows) if row[-1] >= 0), None)
    found = known[-len(QUANTILES) :] if known else [None] * len(QUANTILES)
    return dict(zip(QUANTILES, found, strict=True))
