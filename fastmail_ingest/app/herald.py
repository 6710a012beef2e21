"""Tells the service manager how the supervisor stands: that it is ready, reloads, stops, and is alive.

It speaks from the supervisor's own loop and nowhere else: silence means that the loop hangs.
"""

import time
from collections.abc import Callable

from fastmail_ingest.app.tally import left_over
from fastmail_ingest.supervisor.hooks import Phase
from fastmail_ingest.supervisor.notify import Notifier, microseconds
from fastmail_ingest.supervisor.slots import SlotTable, State
from fastmail_ingest.telemetry.counters import Counter

STATUS_EVERY_S = 5.0
# Starting and draining may take long: it is borne as long as we say again that we are at it. A reload is
# not extended: if the new processes cannot begin, `systemctl reload` shall say so.
EXTENSION_S = 30.0
EXTENSION_EVERY_S = 5.0
PULSE_S = 1.0


class Herald:
    """Turns the phases of a supervisor into messages for `notifier`; `clock` is time.monotonic."""

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier = notifier
        self._clock = clock
        self._phase = Phase.STARTING
        self._next: dict[str, float] = {}
        self._said = ""
        self._note = ""
        self._before = (clock(), 0, 0)  # time, handled, fetched at the last look

    @property
    def pulse_s(self) -> float:
        """How often it must be called at the least, s, so that half of what the manager bears is kept."""
        return min(PULSE_S, self._notifier.watchdog_s / 4 or PULSE_S)

    def waiting(self, what: str) -> None:
        """Before there are children: something outside is waited for, and that may take long."""
        if self._due("EXTEND_TIMEOUT_USEC", EXTENSION_EVERY_S):
            self._notifier.send(EXTEND_TIMEOUT_USEC=microseconds(EXTENSION_S), STATUS=what)

    def reloading(self) -> None:
        """A new configuration is about to be read; READY=1 follows when the processes have it."""
        # The manager tells by the time whether it is the answer to its own request (sd_notify(3)).
        now = microseconds(self._clock())
        if self._notifier.send(RELOADING=1, MONOTONIC_USEC=now, STATUS="reloading the configuration"):
            self._phase = Phase.RELOADING
            self._said = ""

    def reloaded(self, *, taken: bool) -> None:
        """Whether the new configuration was taken over; a refused one is told until there is a good one."""
        self._note = "" if taken else " (the last reload was refused: see the log)"

    def pulse(self, phase: Phase, table: SlotTable) -> None:
        """To be called in each round of the supervisor's loop."""
        if not self._notifier:
            return
        if phase is not self._phase:
            self._announce(phase)
        if self._notifier.watchdog_s and self._due("WATCHDOG", self._notifier.watchdog_s / 2):
            self._notifier.send(WATCHDOG=1)
        if phase in {Phase.STARTING, Phase.STOPPING} and self._due("EXTEND_TIMEOUT_USEC", EXTENSION_EVERY_S):
            self._notifier.send(EXTEND_TIMEOUT_USEC=microseconds(EXTENSION_S))
        if self._due("STATUS", STATUS_EVERY_S):
            self._tell(f"{phase.name.lower()}{self._note}: {self._in_one_line(table)}")

    def last_words(self, text: str) -> None:
        """How it ended; what `systemctl status` shows from then on."""
        self._notifier.send(STATUS=text)

    def _announce(self, phase: Phase) -> None:
        """If the message is not taken, the next round says it again."""
        now = microseconds(self._clock())
        states: dict[Phase, dict[str, str | int]] = {
            Phase.STARTING: {},  # after a reload that came before all was ready
            Phase.RUNNING: {"READY": 1},
            Phase.RELOADING: {"RELOADING": 1, "MONOTONIC_USEC": now},
            Phase.STOPPING: {"STOPPING": 1},
        }
        if not states[phase] or self._notifier.send(**states[phase]):
            self._phase = phase
            self._next = {name: at for name, at in self._next.items() if name == "WATCHDOG"}

    def _due(self, name: str, every_s: float) -> bool:
        now = self._clock()
        if now < self._next.get(name, 0.0):
            return False
        self._next[name] = now + every_s
        return True

    def _tell(self, text: str) -> None:
        if text != self._said and self._notifier.send(STATUS=text):
            self._said = text

    def _in_one_line(self, table: SlotTable) -> str:
        children = [slot for slot in table if slot.state in {State.STARTING, State.READY}]
        ready = sum(slot.state is State.READY for slot in children)
        now, handled, fetched = self._clock(), table.total(Counter.DONE), table.total(Counter.FETCHED)
        then, handled_then, fetched_then = self._before
        self._before = now, handled, fetched
        span_s = max(now - then, 1.0)
        backlog, waiting, dead = left_over(table)
        return (
            f"{ready} of {sum(row.wanted for row in table.board)} processes at work; "
            f"{(fetched - fetched_then) / span_s:.1f} mails/s fetched, "
            f"{(handled - handled_then) / span_s:.1f} handled; "
            f"{backlog} to handle, {waiting} waiting for a retry, {dead} dead letters"
        )
