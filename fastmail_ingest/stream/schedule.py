"""The retry schedule: which failed mails wait for their next try, and until when."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.stream.reach import CALL_BYTES, Tool

_PAGE = 200
_STEP = 50  # mails a script call: each may be as large as a mail can be


class Waiting(msgspec.Struct, frozen=True):
    """A mail that waits. `due_in_s` is below 0 if it is due and maintenance has not come by yet.

    `failures`, `returns`, `deaths` and `replays` are counted as in dead letters; `error` is what the handler
    raised last.
    """

    identity: str
    due_at: float  # seconds since the epoch, by the clock of Redis
    due_in_s: float
    failures: int
    returns: int
    deaths: int
    replays: int
    error: str
    stored_bytes: int


class RetrySchedule(Tool):
    """The mails that wait for a retry, soonest first.

    >>> with RetrySchedule.of("supervisor.toml") as schedule:
    ...     for retry in schedule:
    ...         print(retry.identity, retry.due_in_s, retry.error)
    ...     schedule.now(["support:INBOX:7:12"])
    """

    scripts = ("schedule", "promote")

    def __len__(self) -> int:
        with self._reached():
            return int(self._redis.zcard(self._keys.delayed))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Waiting]:
        due_ms, skip = "-inf", 0
        while True:
            now_ms, *rows = self._run("schedule", self._arguments.schedule(due_ms, skip, _PAGE, CALL_BYTES))
            for row in rows:
                # Mails of the same due time may be on both sides of a page's end.
                skip = skip + 1 if row[1].decode() == due_ms else 1
                due_ms = row[1].decode()
                yield _retry(int(now_ms), row)
            if not rows:
                return

    def now(self, identities: Sequence[str]) -> int:
        """Give these to the handler at once; returns how many.

        Raises ConfigError for one that does not wait, before anything is changed.
        """
        with self._reached():
            for identity in identities:
                if self._redis.zscore(self._keys.delayed, identity) is None:
                    raise ConfigError(
                        f"no retry waits for {identity!r}. remedy: give the identity of a mail as "
                        "`fastmail-ingest retries list` shows it"
                    )
        return sum(self._promote(identities[at : at + _STEP]) for at in range(0, len(identities), _STEP))

    def all_now(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Give all that wait to the handler at once; returns how many. What fails anew waits again."""
        left, moved = len(self), 0
        # What was moved is gone from the schedule: each step is at its beginning.
        while step := [waiting.identity for waiting in islice(self, min(_STEP, left))]:
            left -= len(step)
            moved += self._promote(step)
            progress(len(step))
        return moved

    def _promote(self, identities: Sequence[str]) -> int:
        # Without identities the script would move what is due.
        if not identities:
            return 0
        return int(self._run("promote", self._arguments.promote(0, identities)))


def _retry(now_ms: int, row: list[bytes]) -> Waiting:
    identity, due, failures, returns, deaths, replays, error, stored = row
    due_ms = float(due)
    return Waiting(
        identity=identity.decode("utf-8", "replace"),
        due_at=due_ms / 1000,
        due_in_s=(due_ms - now_ms) / 1000,
        failures=_number(failures),
        returns=_number(returns),
        deaths=_number(deaths),
        replays=_number(replays),
        error=error.decode("utf-8", "replace"),
        stored_bytes=int(stored),
    )


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 16 else 0
