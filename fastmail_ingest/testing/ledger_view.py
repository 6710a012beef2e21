"""The stream seen from outside, and the invariants that hold whenever nothing is in flight."""

from collections.abc import Collection, Iterator, Sequence

import msgspec
import redis
import redis.exceptions

from fastmail_ingest.stream.connect import connect
from fastmail_ingest.stream.keys import GROUP, Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

_KEEP_DAYS = 90
_STATES_AT_ONCE = 1000


class DeadLetter(msgspec.Struct, frozen=True):
    """A dead letter's mail and reason."""

    identity: str
    reason: str


class Where(msgspec.Struct, frozen=True):
    """How many mails are where."""

    lanes: int
    delayed: int
    dead: int
    queued: int
    pending: int

    @property
    def unfinished(self) -> int:
        """Mails that the handler still has to be given."""
        return self.lanes + self.delayed


class LedgerView:
    """Reads, and never writes."""

    def __init__(self, url: str, prefix: str) -> None:
        self._redis = connect(url)
        self._keys = Keys(prefix)
        self._ledger = Ledger(url, "", Arguments(self._keys, _KEEP_DAYS))

    def where(self) -> Where:
        """Count; raises what redis-py raises."""
        lanes = self._keys.lanes.values()
        pipe = self._redis.pipeline(transaction=True)
        for lane in lanes:
            pipe.xlen(lane)
        pipe.zcard(self._keys.delayed)
        pipe.xlen(self._keys.dead)
        pipe.scard(self._keys.queued)
        *lengths, delayed, dead, queued = pipe.execute()
        return Where(sum(lengths), delayed, dead, queued, sum(map(self._pending, lanes)))

    def _pending(self, lane: str) -> int:
        try:
            found: dict[str, int] = self._redis.xpending(lane, GROUP)
        except redis.exceptions.ResponseError:
            return 0  # neither lane nor group: nothing was ever read from it
        return found["pending"]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        entries: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrange(self._keys.dead)  # type: ignore[assignment]
        return [DeadLetter(f.get(b"id", b"").decode(), f.get(b"reason", b"?").decode()) for _, f in entries]

    def queued(self) -> set[str]:
        """The identities that are in a lane, waiting for a retry, or dead."""
        members: set[bytes] = self._redis.smembers(self._keys.queued)  # type: ignore[assignment]
        return {identity.decode() for identity in members}

    def breaches(self, expected: Sequence[str], finished: Collection[str]) -> Iterator[str]:
        """What does not fit together now that all work should be done: `expected` mails came, `finished` ones
        were handled.
        """
        where = self.where()
        held = where.lanes + where.delayed + where.dead
        if where.queued != held:
            yield f"{where.queued} identities are queued, but lanes, delayed and dead hold {held}: {where}"
        if where.pending:
            yield f"{where.pending} entries are still pending: {where}"
        bodies = self._redis.hlen(self._keys.delayed_body)
        if bodies != where.delayed:
            yield f"{where.delayed} mails wait for a retry, but there are {bodies} bodies"
        yield from self._odd_states(expected, finished)

    def _odd_states(self, expected: Sequence[str], finished: Collection[str]) -> Iterator[str]:
        dead = {letter.identity for letter in self.dead_letters()}
        odd: dict[str, list[str]] = {}
        for first in range(0, len(expected), _STATES_AT_ONCE):
            part = expected[first : first + _STATES_AT_ONCE]
            for identity, state in zip(part, self._ledger.states(part), strict=True):
                # A mail that is neither was lost or has vanished: the judge counts those.
                right = "queued" if identity in dead else "done" if identity in finished else state
                if state != right or state == "both":
                    odd.setdefault(f"{state} instead of {right}", []).append(identity)
        for what, names in odd.items():
            yield f"the ledger has {len(names)} mails as {what}, for example {names[0]}"
