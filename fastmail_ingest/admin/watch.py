"""Once a second: what the processes do, what Redis said last, whether all is well. One look serves all."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from msgspec import Struct, convert

from fastmail_ingest.admin.answers import encode
from fastmail_ingest.admin.history import History
from fastmail_ingest.admin.latency import LatencyLook
from fastmail_ingest.admin.look import RedisLook, Seen
from fastmail_ingest.admin.memory import Memory
from fastmail_ingest.admin.processes import Processes
from fastmail_ingest.model.snapshot import Rates, RedisStanding, Snapshot, Totals
from fastmail_ingest.policy.readiness import Facts, Limits, judge
from fastmail_ingest.supervisor.slots import SlotTable

_log = logging.getLogger(__name__)

EVERY_S = 1.0
RATES_OVER_S = 10


class About(Struct, frozen=True):
    """What does not change while the process lives; mailboxes are account/mailbox."""

    version: str
    node: str
    limits: Limits
    mailboxes: Sequence[str] = ()


class Watch:
    """Looks, judges, and tells all who listen. `snapshot` is that of the last look, the `number`-th."""

    def __init__(
        self, about: About, table: SlotTable, look: RedisLook, latency: LatencyLook, history: History
    ) -> None:
        self.history = history
        self._latency = latency
        self._about = about
        self._board = table.board
        self._look = look
        self._processes = Processes(table)
        self._memory = Memory(about.limits)
        self._changed = asyncio.Condition()
        self.number = 0
        self.snapshot = self.take()
        self._encoded: tuple[Snapshot, bytes] | None = None

    @property
    def encoded(self) -> bytes:
        """The last look in JSON; made once for all who ask."""
        if self._encoded is None or self._encoded[0] is not self.snapshot:
            self._encoded = (self.snapshot, encode(self.snapshot))
        return self._encoded[1]

    async def run(self, beat: Callable[[], None]) -> None:
        """Look once a second until cancelled; `beat` hears of each that succeeded."""
        while True:
            started = time.monotonic()
            try:
                self.snapshot = self.take()
                beat()
            except Exception:
                # A slot that is just changing hands may show anything: the next look is another. If none
                # succeeds for long, the supervisor replaces us.
                _log.exception("the look at the processes failed")
            async with self._changed:
                self.number += 1
                self._changed.notify_all()
            await asyncio.sleep(max(0.05, started + EVERY_S - time.monotonic()))

    async def next(self, after: int) -> int:
        """Wait for a look later than that with the number `after`; returns its number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.number > after)
        return self.number

    def take(self) -> Snapshot:
        """Look now."""
        now, wall, seen = time.monotonic(), time.time(), self._look.seen
        wrong = seen.wrong(now)
        totals = self._note(seen, wrong, int(wall))
        roles, breakers = self._processes.roles(now), self._processes.breakers()
        silences = self._processes.silences(now, self._about.mailboxes)
        facts = Facts(
            now=wall,
            uptime_s=now - self._board.since,
            stopping=self._board.draining,
            redis_error=wrong,
            roles=self._memory.roles(roles, now),
            open_breakers={each.dependency: each.processes for each in breakers if each.state != "closed"},
            stream=seen.stream,
            dead_rise=self._dead_rise(seen, int(wall)),
            accounts=seen.accounts,
            moving=self._memory.moving(seen.accounts, now),
            silences=silences,
        )
        reasons = judge(facts, self._about.limits)
        return Snapshot(
            time=wall,
            since=wall - facts.uptime_s,
            version=self._about.version,
            node=self._about.node,
            ready=not reasons,
            reasons=self._memory.reasons(reasons, wall),
            redis=RedisStanding(not wrong, wrong, round(now - seen.at, 3)),
            stream=seen.stream,
            accounts=list(seen.accounts),
            rates=convert(self.history.rates(RATES_OVER_S, int(wall)), Rates),
            totals=totals,
            breakers=breakers,
            roles=roles,
            processes=self._processes.processes(now),
            silences=silences,
        )

    def _note(self, seen: Seen, wrong: str, second: int) -> Totals:
        """Write down what was counted since the look before."""
        totals, latency_us = self._processes.totals(), self._processes.latency_us()
        stream = seen.stream if not wrong else None
        levels = (stream.to_handle, stream.waiting_for_retry, stream.dead) if stream else None
        sums = (totals.fetched, totals.handled, totals.retried, totals.dead, latency_us)
        self.history.note(second, sums, levels, self._latency.take())
        return totals

    def _dead_rise(self, seen: Seen, second: int) -> int:
        window_s = int(self._about.limits.dead_window_s)
        lowest = self.history.lowest("dead_letters", window_s, second)
        return 0 if lowest is None or seen.stream is None else max(0, seen.stream.dead - lowest)
