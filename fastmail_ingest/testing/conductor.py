"""Leads a run through its schedule: delivers mails, acts when it is time, and ends when all is handled.

One thread that looks, acts and looks again. It waits for facts; the only clock that ends it is patience.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.testing.deeds import Deeds, NotNow, Undo
from fastmail_ingest.testing.ledger_view import LedgerView
from fastmail_ingest.testing.mail import MailSource
from fastmail_ingest.testing.plan import Chaos, Step
from fastmail_ingest.testing.records import Records
from fastmail_ingest.testing.redis_server import RedisServer
from fastmail_ingest.testing.supervised import Supervised

_LOOK_EVERY_S = 0.002
_LOOK_EVERY_LONG_S = 0.02  # looking must not take the processor from those who work
_LONG_RUN = 20_000
_TRY_AGAIN_S = 0.05
_ASK_LEDGER_EVERY_S = 0.05


class Progress(msgspec.Struct, frozen=True):
    """How far a run is."""

    delivered: int
    handled: int
    actions: int


Watch = Callable[[Progress], None]


class Stage(msgspec.Struct, frozen=True):
    """All that a run is played with."""

    supervised: Supervised
    server: RedisServer
    mail: MailSource
    records: Records
    deeds: Deeds
    ledger: LedgerView


class Conductor:
    """Plays one schedule."""

    def __init__(self, chaos: Chaos, steps: Sequence[Step], stage: Stage, watch: Watch) -> None:
        self._chaos, self._steps, self._stage, self._watch = chaos, list(steps), stage, watch
        self._look_every_s = _LOOK_EVERY_LONG_S if chaos.emails > _LONG_RUN else _LOOK_EVERY_S
        self._started = 0.0
        self._delivered = 0
        self._next = 0  # the step that is due next
        self._due_at = 0.0  # when, 0 if not all mails before it are handled yet
        self._lasting: list[tuple[float, Undo]] = []
        self._ask_ledger_at = 0.0
        self.troubles: list[str] = []

    def play(self) -> None:
        """Play until all mails are handled and all is as it was, or nothing moves any more."""
        self._started = last_progress = time.monotonic()
        while not self._finished():
            moved = self._stage.records.refresh()
            moved += self._deliver() + self._act(time.monotonic()) + self._undo(time.monotonic())
            now = time.monotonic()
            if moved:
                last_progress = now
                self._watch(Progress(self._delivered, self._stage.records.handled, self._next))
            elif now - last_progress > self._chaos.patience_s:
                self.troubles.append(f"nothing moved any more: {self._what_is_left()}")
                break
            if (code := self._stage.supervised.exit_code) is not None:
                self.troubles.append(f"the supervisor ended by itself with exit code {code}")
                break
            time.sleep(self._look_every_s)
        self._undo(float("inf"))
        self._end()

    # --- a look ----------------------------------------------------------------------------------

    def _deliver(self) -> int:
        ahead, left = self._chaos.mails_ahead, self._chaos.emails - self._delivered
        room = self._stage.records.handled + ahead - self._delivered
        if self._chaos.rate:
            room = min(room, int(self._chaos.rate * (time.monotonic() - self._started)) - self._delivered)
        count = min(left, room)
        # In bursts: a mail at a time would never find the workers busy.
        if count < min(left, ahead // 4) or not count:
            return 0
        self._stage.mail.deliver(self._delivered, count)
        self._delivered += count
        return count

    def _act(self, now: float) -> int:
        if self._next == len(self._steps):
            return 0
        step = self._steps[self._next]
        if not self._due_at:
            if self._stage.records.handled < self._reachable(step) and not self._is_at_rest():
                return 0
            self._due_at = now + step.delay_s
        if now < self._due_at:
            return 0
        try:
            undo = self._stage.deeds.perform(step)
        except NotNow:
            self._due_at = now + _TRY_AGAIN_S
            return 0
        if undo is not None:
            self._lasting.append((now + step.hold_s, undo))
        self._next += 1
        self._due_at = 0.0
        return 1

    def _reachable(self, step: Step) -> int:
        # Mails that were removed or became dead letters are handled by nobody.
        never = sum(self._chaos.mishaps.values()) + len(self._stage.mail.vanished())
        return min(step.at, max(0, self._chaos.emails - never))

    def _undo(self, now: float) -> int:
        due = [each for each in self._lasting if each[0] <= now]
        self._lasting = [each for each in self._lasting if each[0] > now]
        for _, undo in due:
            try:
                undo()
            except (NotNow, *UNAVAILABLE):
                self._lasting.append((now + _TRY_AGAIN_S, undo))
        return len(due)

    def _finished(self) -> bool:
        if self._next < len(self._steps) or self._lasting:
            return False
        return self._is_at_rest()

    def _is_at_rest(self) -> bool:
        """Whether all that was delivered is handled, or a dead letter by the handler's own will."""
        now = time.monotonic()
        if self._delivered < self._chaos.emails or now < self._ask_ledger_at:
            return False
        self._ask_ledger_at = now + _ASK_LEDGER_EVERY_S
        # One that was just started again could not be told to drain: it has no signal handlers yet.
        if not self._stage.supervised.children("worker"):
            return False
        try:
            where = self._stage.ledger.where()
        except UNAVAILABLE:
            return False
        at_rest = not where.unfinished and not where.pending and where.queued == where.dead
        accounted = self._stage.records.handled + where.dead + len(self._stage.mail.vanished())
        return at_rest and accounted >= self._chaos.emails

    # --- the end ---------------------------------------------------------------------------------

    def _end(self) -> None:
        if self._stage.supervised.exit_code is None:
            code = self._stage.supervised.stop()
            if code != 0:
                self.troubles.append(f"told to drain, the supervisor ended with exit code {code}")
        self._stage.records.refresh()

    def _what_is_left(self) -> str:
        try:
            where = str(self._stage.ledger.where())
        except UNAVAILABLE as error:
            where = f"Redis: {error}"
        return (
            f"{self._delivered} delivered, {self._stage.records.handled} handled, "
            f"{self._next} of {len(self._steps)} actions done; {where}"
        )
