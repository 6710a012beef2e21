"""What the processes do, read from the slots and from the kernel."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import psutil

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.snapshot import (
    BreakerStanding,
    InHand,
    ProcessStanding,
    RoleStanding,
    SilenceStanding,
    Totals,
)
from fastmail_ingest.policy.breaker import State as Breaker
from fastmail_ingest.supervisor.slots import Held, Slot, SlotTable, State
from fastmail_ingest.telemetry.counters import Counter

SHOWN_IN_HAND = 5
# What breakers guard, where their states are, and which roles have one.
_GUARDED = (
    ("handler", Counter.HANDLER_BREAKER, ("worker",)),
    ("redis", Counter.REDIS_BREAKER, ("worker", "producer", "maintenance")),
)
_STATES: dict[State, Literal["starting", "ready", "dead"]] = {
    State.STARTING: "starting", State.READY: "ready", State.DEAD: "dead",
}  # fmt: skip
_BREAKERS: dict[int, Literal["closed", "open", "half_open"]] = {
    Breaker.CLOSED: "closed", Breaker.HALF_OPEN: "half_open", Breaker.OPEN: "open",
}  # fmt: skip
_DOING = {
    "producer": "follows its mailboxes",
    "maintenance": "puts back, retries, tidies up",
    "admin": "answers HTTP",
    "redis": "keeps the mails",
}


class Usage:
    """Memory and CPU of processes; the CPU is that since the last look at the same process."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[psutil.Process, float, float]] = {}

    def look(self, pids: Sequence[int]) -> dict[int, tuple[int, float]]:
        """Resident bytes and the share of one CPU; a process that is gone is left out."""
        found: dict[int, tuple[int, float]] = {}
        kept: dict[int, tuple[psutil.Process, float, float]] = {}
        for pid in pids:
            try:
                process, at, spent = self._known.get(pid) or (psutil.Process(pid), 0.0, 0.0)
                with process.oneshot():
                    times, rss = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            now, now_spent = time.monotonic(), times.user + times.system
            share = (now_spent - spent) / (now - at) if at else 0.0
            found[pid] = (rss, round(max(0.0, share), 3))
            kept[pid] = (process, now, now_spent)
        self._known = kept
        return found


class Processes:
    """The children of one supervisor, and itself, as their slots show them."""

    def __init__(self, table: SlotTable) -> None:
        self._table = table
        self._usage = Usage()

    def _slots(self) -> Iterator[Slot]:
        return (slot for slot in self._table if slot.state is not State.FREE)

    def _names(self) -> dict[int, str]:
        return {number: row.name for number, row in enumerate(self._table.board)}

    def processes(self, now: float) -> list[ProcessStanding]:
        """Each process; `now` is time.monotonic()."""
        slots = [slot for slot in self._slots() if slot.pid]
        supervisor, names = os.getppid(), self._names()
        usage = self._usage.look([supervisor, *(slot.pid for slot in slots)])
        offset_s = time.time() - now
        rss, cpu = usage.get(supervisor, (None, None))
        found = [ProcessStanding("supervisor", supervisor, "running", "watches the others",
                                 self._table.board.since + offset_s, rss, cpu, 0, 0, 0, 0, [])]  # fmt: skip
        for slot in slots:
            role = names.get(slot.role, "")
            held = sorted(slot.held())
            rss, cpu = usage.get(slot.pid, (None, None))
            found.append(ProcessStanding(
                role=role,
                pid=slot.pid,
                state=_STATES.get(slot.state, "dead"),
                doing=_doing(role, slot, held, now),
                since=slot.started_at + offset_s,
                rss_bytes=rss,
                cpu=cpu,
                handled=slot.get(Counter.DONE),
                fetched=slot.get(Counter.FETCHED),
                batch_size=slot.get(Counter.BATCH_SIZE),
                in_hand_count=len(held),
                in_hand=[_in_hand(each, now) for each in held[:SHOWN_IN_HAND]],
            ))  # fmt: skip
        return found

    def roles(self, now: float) -> list[RoleStanding]:
        """Each role; `now` is time.monotonic()."""
        ready = [slot.role for slot in self._slots() if slot.state is State.READY]
        return [
            RoleStanding(
                row.name, row.wanted, ready.count(number), row.started, row.deaths,
                round(now - row.died_at, 3) if row.deaths else None, row.last_words,
            )
            for number, row in enumerate(self._table.board)
        ]  # fmt: skip

    def breakers(self) -> list[BreakerStanding]:
        """The breakers of all processes, the worst state of each."""
        names = self._names()
        ready = [(names.get(slot.role), slot) for slot in self._slots() if slot.state is State.READY]
        found: list[BreakerStanding] = []
        for dependency, counter, roles in _GUARDED:
            states = [slot.get(counter) for role, slot in ready if role in roles]
            worst = next(
                (each for each in (Breaker.OPEN, Breaker.HALF_OPEN) if each in states), Breaker.CLOSED
            )
            found.append(BreakerStanding(dependency, _BREAKERS[worst], states.count(worst)))
        return found

    def silences(self, now: float, mailboxes: Sequence[str]) -> list[SilenceStanding]:
        """The mail servers that do not answer; `now` is time.monotonic(), `mailboxes` are all, numbered."""
        found: list[SilenceStanding] = []
        for slot in self._slots():
            since_ns, number = slot.get(Counter.SILENT_SINCE_NS), slot.get(Counter.SILENT_MAILBOX)
            if slot.state is State.READY and since_ns and 0 < number <= len(mailboxes):
                for_s = round(max(0.0, now - since_ns / 1e9), 3)
                connections = max(1, slot.get(Counter.SILENT_CONNECTIONS))
                found.append(SilenceStanding(mailboxes[number - 1], for_s, connections))
        return found

    def totals(self) -> Totals:
        """What all children there ever were have counted."""
        total: Callable[[int], int] = self._table.total
        return Totals(
            total(Counter.FETCHED), total(Counter.DONE), total(Counter.DELAYED), total(Counter.DEAD),
            total(Counter.PUT_BACK),
        )  # fmt: skip

    def latency_us(self) -> int:
        """The sum of all times from fetched to settled."""
        return self._table.total(Counter.LATENCY_SUM_US)


def _in_hand(held: Held, now: float) -> InHand:
    return InHand(Lane(held.kind).label, held.token.decode("ascii", "replace"), round(now - held.since, 3))


def _doing(role: str, slot: Slot, held: Sequence[Held], now: float) -> str:
    """In words what a child does."""
    if slot.state is State.STARTING:
        return "starts"
    if slot.state is State.DEAD:
        return "died; its work is being put back"
    if held:
        mails = "1 mail" if len(held) == 1 else f"{len(held)} mails, the oldest"
        return f"handles {mails} for {now - held[0].since:.1f} s"
    if slot.get(Counter.REDIS_BREAKER) != Breaker.CLOSED:
        return "waits: Redis does not answer or refuses"
    return _waiting(role, slot)


def _waiting(role: str, slot: Slot) -> str:
    """The same for one that has nothing in hand."""
    if role == "worker":
        down = slot.get(Counter.HANDLER_BREAKER) != Breaker.CLOSED
        return "waits: what the handler depends on is down" if down else "waits for mail"
    resting = slot.get(Counter.ACCOUNTS_OPEN) if role == "producer" else 0
    return f"{_DOING.get(role, 'runs')}{f'; {resting} accounts rest or do not answer' if resting else ''}"
