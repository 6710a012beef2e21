"""The living children: forking them, hearing of their ends, sending them signals."""

import gc
import logging
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from fastmail_ingest.supervisor.child import become_child, run_and_exit
from fastmail_ingest.supervisor.process import Process
from fastmail_ingest.supervisor.role import Child, Role
from fastmail_ingest.supervisor.slots import Slot, SlotTable, State
from fastmail_ingest.supervisor.wakeups import HANDLED_SIGNALS, INIT_PID, Wakeups

_log = logging.getLogger(__name__)


class Fleet:
    """All children of one supervisor. Decides nothing."""

    def __init__(self, roles: list[Role], table: SlotTable, wakeups: Wakeups) -> None:
        self._roles = roles
        self._table = table
        self._wakeups = wakeups
        self._children: dict[int, Process] = {}  # by pidfd
        self._generation = 0
        self._pid = os.getpid()
        self._lifeline, self._lifeline_writer = os.pipe2(os.O_CLOEXEC)
        # What is loaded by now is shared by all children: the collector must not touch, and so copy, it.
        gc.collect()
        gc.freeze()

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def of(self, role: Role) -> list[Process]:
        """The living children of a role."""
        return [process for process in self._children.values() if process.role is role]

    def start(self, role: Role, number: int, now: float) -> bool:
        """Fork one child; False if no slot is free because the dead have not been cleared up after yet."""
        slot = self._table.free()
        if slot is None:
            self._table.ring()
            return False
        self._generation += 1
        number_of_role = self._roles.index(role)
        slot.claim(number_of_role, self._generation, now)
        self._table.board.row(number_of_role).note_start()
        # Until the child has signal handlers of its own, a signal to it would be written to our wakeup
        # socket, which it shares: we would take its SIGTERM for ours, and it would never hear of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._run_child(role, slot, number)
        except OSError as error:
            _log.error("cannot start %s: %s; trying again", role.name, error)
            slot.state = State.FREE
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)
        slot.pid = pid
        pidfd = os.pidfd_open(pid)
        self._wakeups.watch(pidfd)
        self._children[pidfd] = Process(role, number, slot, pid, pidfd, now)
        return True

    def _run_child(self, role: Role, slot: Slot, number: int) -> None:
        """In the child: never returns."""
        try:
            os.close(self._lifeline_writer)
            self._wakeups.close_in_child()
            for pidfd in self._children:
                os.close(pidfd)
            become_child(f"{role.name}-{number}" if role.count > 1 else role.name, self._pid, self._lifeline)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)
            slot.pid = os.getpid()
        except BaseException as error:
            slot.message = f"cannot start: {error}"
            os._exit(os.EX_OSERR)

        def run() -> int:
            code = role.run(Child(slot, self._table, number))
            slot.finished = True
            return code

        run_and_exit(run, lambda text: setattr(slot, "message", text))

    def reap(self) -> Iterator[tuple[Process, int, resource.struct_rusage]]:
        """The children that have ended since the last call: exit code (negative for a signal) and usage."""
        for process in self:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                self._children.pop(process.pidfd)
                self._table.board.row(process.slot.role).note_cpu(usage.ru_utime + usage.ru_stime)
                self._wakeups.forget(process.pidfd)
                os.close(process.pidfd)
                yield process, os.waitstatus_to_exitcode(status), usage
        if self._pid == INIT_PID:
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        """As the first process of a container: orphans become our children (pid_namespaces(7))."""
        ours = {process.pid for process in self}
        with suppress(ChildProcessError):  # there are none at all
            # Only looked at: one of ours may have ended by now, and waits for the next round.
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if found.si_pid in ours:
                    return
                os.waitpid(found.si_pid, 0)

    def send(self, process: Process, number: signal.Signals) -> None:
        """Send a signal; a process that has just ended by itself is no error."""
        try:
            signal.pidfd_send_signal(process.pidfd, number)
        except ProcessLookupError:
            return  # the next reaping sees it

    def ask_to_stop(self, process: Process) -> None:
        """SIGTERM, once."""
        if not process.asked_to_stop:
            process.asked_to_stop = True
            process.asked_at = time.monotonic()
            self.send(process, signal.SIGTERM)

    def close(self) -> None:
        """Give up the lifeline; only for a supervisor without children."""
        os.close(self._lifeline)
        os.close(self._lifeline_writer)
        gc.unfreeze()
