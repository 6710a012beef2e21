"""The supervisor: one thread that forks children, watches them, restarts them, and drains them in order.

Booting, crashing, scaling and stopping are one code path: `_reconcile` compares what should run with
what runs. It never waits for a child; everything that happens wakes the one wait in `run`.
"""

import logging
import signal
import time
from collections.abc import Sequence

from fastmail_ingest.supervisor.child import STACK_DUMP_SIGNAL
from fastmail_ingest.supervisor.fleet import Fleet
from fastmail_ingest.supervisor.hooks import Hooks, Phase
from fastmail_ingest.supervisor.process import Process, RoleState, deaf, how_it_ended
from fastmail_ingest.supervisor.report import Report
from fastmail_ingest.supervisor.role import EXIT_WORN_OUT, Role
from fastmail_ingest.supervisor.slots import SlotTable, State
from fastmail_ingest.supervisor.successor import cannot_start, plan_successor
from fastmail_ingest.supervisor.wakeups import Wakeups

_log = logging.getLogger(__name__)

TICK_S = 1.0
READY_TICK_S = 0.1
PROBE_TICK_S = 0.02
SHORTENED_DRAIN_S = 1.0
# After the deadline each later stage still gets this long: maintenance must give back what was killed.
LAST_STAGES_GRACE_S = 3.0


class Supervisor:
    """Runs roles until told to stop."""

    def __init__(
        self, roles: Sequence[Role], table: SlotTable, drain_timeout_s: float, hooks: Hooks | None = None
    ) -> None:
        self.report = Report()
        self._roles = list(roles)
        self._table = table
        self._drain_timeout_s = drain_timeout_s
        self._hooks = hooks or Hooks()
        self._states = {role.name: RoleState.of(role, table.board.row(n)) for n, role in enumerate(roles)}
        self._phase = Phase.STARTING
        self._rolling: list[int] = []  # pids of the old generation, to be replaced one by one
        self._draining_since = 0.0
        self._deadline = 0.0

    # --- the loop ----------------------------------------------------------------------------------

    def run(self) -> Report:
        """Run until drained or failed."""
        with Wakeups() as wakeups:
            self._fleet = Fleet(self._roles, self._table, wakeups)
            while not self._draining_since or len(self._fleet):
                self._reconcile(time.monotonic())
                if self._draining_since and not len(self._fleet):
                    break
                for number in wakeups.wait(self._wait_s()):
                    self._on_signal(number)
                for process, code, usage in self._fleet.reap():
                    self.report.spent(process.role.name, usage)
                    self._bury(process, code, time.monotonic())
                self._watch_hangs(time.monotonic())
                self._watch_stuck(time.monotonic())
            self._fleet.close()
        if self._draining_since:
            self.report.drain_s = time.monotonic() - self._draining_since
        return self.report

    def _wait_s(self) -> float:
        """Until the next thing that happens without anybody telling us."""
        now = time.monotonic()
        starts = [state.start_at - now for state in self._states.values() if state.start_at > now]
        deadline = [self._deadline - now] if self._draining_since else []
        awaiting = any(role.start_first and not self._is_ready(role) for role in self._roles)
        probing = [PROBE_TICK_S] if awaiting and not self._draining_since else []
        # A child that gets ready wakes nobody.
        tick = TICK_S if self._phase in {Phase.RUNNING, Phase.STOPPING} else READY_TICK_S
        return max(0.0, min([tick, self._hooks.pulse_s, *starts, *deadline, *probing]))

    def _reconcile(self, now: float) -> None:
        self._prove_ready()
        self._finish_stages(now)
        if self._draining_since:
            self._stop_next_stage(now)
        self._start_missing(now)
        self._stop_surplus()
        self._roll()
        self._phase = self._next_phase()
        self._hooks.pulse(self._phase)

    def _next_phase(self) -> Phase:
        if self._draining_since:
            return Phase.STOPPING
        if self._rolling:
            return Phase.RELOADING
        all_ready = all(self._is_ready(role) for role in self._roles if not role.optional)
        return Phase.RUNNING if all_ready else self._phase

    # --- starting ----------------------------------------------------------------------------------

    def _start_missing(self, now: float) -> None:
        stage = self._stopping_stage()
        awaited = [role.stage for role in self._roles if role.start_first and not self._is_ready(role)]
        for role in self._roles:
            if stage is not None and role.stage <= stage:
                continue
            if any(role.stage < later for later in awaited):
                continue  # what stops later starts earlier
            for number in self._missing_numbers(role):
                if now < self._states[role.name].start_at or not self._fleet.start(role, number, now):
                    break

    def _is_ready(self, role: Role) -> bool:
        ready = [process for process in self._fleet.of(role) if process.slot.state is State.READY]
        state = self._states[role.name]
        return len(ready) + len(state.finished) >= state.wanted

    def _missing_numbers(self, role: Role) -> list[int]:
        state = self._states[role.name]
        running = {process.number for process in self._fleet.of(role)}
        return [n for n in range(state.wanted) if n not in running and n not in state.finished]

    def _unproved(self) -> list[Process]:
        return [
            process
            for process in self._fleet
            if process.role.probe is not None and process.slot.state is State.STARTING
        ]

    def _prove_ready(self) -> None:
        for process in self._unproved():
            if process.role.probe is not None and process.role.probe():
                process.slot.ready()

    # --- ending ------------------------------------------------------------------------------------

    def drain(self, reason: str, deadline_s: float | None = None) -> None:
        """Begin to stop, stage by stage; a second call can only shorten the time that is left."""
        now = time.monotonic()
        until = now + (self._drain_timeout_s if deadline_s is None else deadline_s)
        if self._draining_since:
            self._deadline = min(self._deadline, until)
            return
        self._draining_since, self._deadline = now, until
        self.report.reason = reason
        self._table.board.note_drain()
        _log.info("stopping: %s", reason)

    def _stopping_stage(self) -> int | None:
        """The stage that is being stopped: the lowest one that still has children."""
        if not self._draining_since:
            return None
        return min((process.role.stage for process in self._fleet), default=1 << 30)

    def _stop_next_stage(self, now: float) -> None:
        stage = self._stopping_stage()
        for process in [each for each in self._fleet if each.role.stage == stage]:
            if not process.asked_to_stop:
                self._fleet.ask_to_stop(process)
            elif now >= self._deadline and not process.killed_for:
                self.report.killed += 1
                process.killed_by_deadline = True
                self._kill(process, "it did not stop in time")
        if now >= self._deadline and any(each.killed_for for each in self._fleet):
            self._deadline = now + LAST_STAGES_GRACE_S

    def _finish_stages(self, now: float) -> None:
        """Tell the later stages when an earlier one has nothing left to do; stop after the last."""
        finite = sorted({role.stage for role in self._roles if role.finite})
        if not finite or self._draining_since:
            return
        finished = 0
        for stage in finite:
            if any(
                not self._has_finished(role) for role in self._roles if role.finite and role.stage == stage
            ):
                break
            finished += 1
        self._table.finished_stages = finished
        if finished == len(finite):
            self.drain("nothing is left to do now")

    def _has_finished(self, role: Role) -> bool:
        return len(self._states[role.name].finished) >= self._states[role.name].wanted

    def _stop_surplus(self) -> None:
        for process in self._fleet:
            if process.number >= self._states[process.role.name].wanted:
                self._fleet.ask_to_stop(process)

    def _roll(self) -> None:
        """Replace the old generation one by one: the next goes when every successor is at work."""
        alive = {process.pid: process for process in self._fleet}
        self._rolling = [pid for pid in self._rolling if pid in alive]
        if not self._rolling or any(process.slot.state is State.STARTING for process in alive.values()):
            return
        process = alive[self._rolling[0]]
        if not self._missing_numbers(process.role):
            self._fleet.ask_to_stop(process)

    # --- deaths ------------------------------------------------------------------------------------

    def _bury(self, process: Process, code: int, now: float) -> None:
        role, state = process.role, self._states[process.role.name]
        was_ready = process.was_ready = process.slot.state is State.READY
        state.was_ready |= was_ready
        if process.killed_by_deadline:
            process.slot.release_all()  # the work in hand is not to blame
        process.slot.state = State.DEAD if role.cleared_up else State.FREE
        self._table.ring()
        said_so = process.slot.finished and not process.slot.held()
        if code == 0 and said_so and role.finite and not self._draining_since and not process.asked_to_stop:
            state.finished.add(process.number)
            if process.slot.message:
                self.report.complaints.append(process.slot.message)
            return
        if process.asked_to_stop:
            return
        if code == EXIT_WORN_OUT:
            _log.info("%s %d (pid %d) makes room for a fresh one", role.name, process.number, process.pid)
            return
        how = how_it_ended(process, code)
        state.row.note_death(how, now)
        if cannot_start(process, state, code):
            self._fail(f"{role.name} cannot start", how)
            return
        # A child at work that somebody kills (the kernel, for want of memory) is not broken by that.
        struck = was_ready and not process.killed_for and code in (-signal.SIGKILL, -signal.SIGTERM, 0)
        if broken := plan_successor(process, state, now, struck=struck):
            self._fail(broken, how)
            return
        self.report.restarts += 1
        lived = now - process.started_at
        _log.warning(
            "%s %d (pid %d) died after %.1f s: %s; restarting",
            role.name, process.number, process.pid, lived, how,
        )  # fmt: skip

    def _fail(self, reason: str, how: str) -> None:
        if not self.report.failed:
            self.report.failed = f"{reason}: {how}"
            _log.error("%s", self.report.failed)
        self.drain(reason)

    def _kill(self, process: Process, reason: str) -> None:
        process.killed_for = reason
        _log.warning("killing %s %d (pid %d): %s", process.role.name, process.number, process.pid, reason)
        self._fleet.send(process, signal.SIGKILL)

    def _watch_hangs(self, now: float) -> None:
        for process in self._fleet:
            if process.role.hang_after_s is None or process.killed_for:
                continue
            limit = process.role.hang_after_s()
            longest = max((now - held.since for held in process.slot.held()), default=0.0)
            if longest > limit:
                process.slot.hung = True
                self._dump_and_kill(process, f"one piece of work is in hand for {longest:.0f} s")

    def _watch_stuck(self, now: float) -> None:
        if self._draining_since:
            return
        reasons = dict(self._hooks.find_stuck(now))
        for process in self._fleet:
            deafness = "it does not stop" if deaf(process, now, self._drain_timeout_s) else ""
            if (reason := reasons.get(process.pid) or deafness) and not process.killed_for:
                self._dump_and_kill(process, reason)

    def _dump_and_kill(self, process: Process, reason: str) -> None:
        """Its stacks go to the log first; the dump is written by the signal handler, at once."""
        self._fleet.send(process, STACK_DUMP_SIGNAL)
        time.sleep(0.05)
        self._kill(process, reason)

    # --- signals -----------------------------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            shorten = SHORTENED_DRAIN_S if self._draining_since else None
            self.drain(f"signal {signal.Signals(number).name}", shorten)
        elif number == signal.SIGQUIT:
            self.drain("signal SIGQUIT", 0.0)
        elif number == signal.SIGHUP and not self._draining_since:
            if not self._hooks.reload():
                return
            self._rolling = [process.pid for process in self._fleet if process.role.rolls]
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._scale(1 if number == signal.SIGTTIN else -1)
        elif number == signal.SIGUSR1:
            self._hooks.status()

    def _scale(self, by: int) -> None:
        for role in self._roles:
            if role.scales:
                state = self._states[role.name]
                state.want(max(1, min(state.wanted + by, self._table.count // 2)))
                _log.info("%s: %d wanted now", role.name, state.wanted)
