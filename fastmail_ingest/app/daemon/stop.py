"""`stop`: SIGTERM, a deadline, SIGKILL; and nothing that belonged to the supervisor is left behind."""

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from fastmail_ingest.errors import EXIT_DRAIN_CUT_SHORT, EXIT_FAILURE, EXIT_OK, FastmailIngestError
from fastmail_ingest.supervisor.pid_file import Written

_LOOK_EVERY_S = 0.2
# Our own Redis is asked to end by the kernel when the supervisor dies; it writes its file first.
LEFT_BEHIND_S = 10.0
_KILLED_S = 10.0


def is_alive(written: Written) -> bool:
    """Whether the process that a PID file means is still there."""
    descriptor = written.pidfd()
    if descriptor is None:
        return False
    try:
        return not _has_ended(descriptor, 0.0)
    finally:
        os.close(descriptor)


def stop(pid_file: Path, timeout_s: float | None) -> int:
    """Stop the supervisor that holds `pid_file`; returns the exit code.

    `timeout_s` is how long it may drain; None is what it said itself.
    """
    written = Written.read(pid_file)
    descriptor = written.pidfd() if written is not None else None
    if written is not None and descriptor is not None:
        try:
            return _stop(written, descriptor, written.stop_s if timeout_s is None else timeout_s)
        except psutil.NoSuchProcess:
            pass  # it has ended just now
        finally:
            os.close(descriptor)
    _say(f"fastmail-ingest is not running (by {pid_file})")
    return EXIT_OK


def _stop(written: Written, descriptor: int, timeout_s: float) -> int:
    """Raises psutil.NoSuchProcess if it ended before anything was begun."""
    began = time.monotonic()
    family = Family(written.pid)
    if _has_ended(descriptor, 0.0):
        raise psutil.NoSuchProcess(written.pid)
    _send(descriptor, signal.SIGTERM)
    while not (ended := _has_ended(descriptor, _LOOK_EVERY_S)):
        family.look()
        if time.monotonic() - began > timeout_s:
            break
    if not ended:
        family.look()
        _send(descriptor, signal.SIGKILL)
        _has_ended(descriptor, _KILLED_S)
    left_behind = family.end(LEFT_BEHIND_S)
    took_s = time.monotonic() - began
    if left := family.living():
        _say(f"these cannot be ended, even by KILL: {', '.join(str(each.pid) for each in left)}")
        return EXIT_FAILURE
    if not ended:
        _say(
            f"fastmail-ingest (pid {written.pid}) did not stop within {timeout_s:.0f} s and was killed; "
            "what it had in hand comes again"
        )
        return EXIT_DRAIN_CUT_SHORT
    rest = f"; {left_behind} processes that it had left behind were ended" if left_behind else ""
    _say(f"fastmail-ingest (pid {written.pid}) has stopped after {took_s:.1f} s{rest}")
    return EXIT_OK


class Family:
    """A supervisor's descendants, and what else is in the session that it leads; known by PID and birth."""

    def __init__(self, pid: int) -> None:
        self._head = psutil.Process(pid)
        self._leads_session = _session(pid) == pid
        self._known: set[psutil.Process] = set()
        self.look()

    def look(self) -> None:
        """Take note of those that are there now."""
        with suppress(psutil.NoSuchProcess):
            self._known.update(self._head.children(recursive=True))
        if not self._leads_session:
            return
        # The session's number is nobody else's as long as one of its members that we know is there.
        members = [each for each in (self._head, *self._known) if _session(each.pid) == self._head.pid]
        found = [each for each in psutil.process_iter() if _session(each.pid) == self._head.pid]
        if any(each.is_running() for each in members):
            self._known.update(each for each in found if each.pid != self._head.pid)

    def living(self) -> list[psutil.Process]:
        """Those that are left; one with the PID of another but a birth of its own is none of them."""
        return [each for each in self._known if _is_living(each)]

    def end(self, grace_s: float) -> int:
        """Ask those that are left to end, kill after `grace_s`; returns how many had to be asked."""
        self.look()
        asked = self.living()
        for process in asked:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        psutil.wait_procs(asked, timeout=grace_s)
        self.look()
        killed = self.living()
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(killed, timeout=_KILLED_S)
        return len({*asked, *killed})


def _is_living(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _send(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # it has just ended by itself
    except PermissionError as error:
        raise FastmailIngestError("it runs as another user. remedy: be that user, or root") from error


def _has_ended(descriptor: int, within_s: float) -> bool:
    """A PID's descriptor can be read from when the process has ended (pidfd_open(2))."""
    return bool(select.select([descriptor], [], [], within_s)[0])


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - what a human reads
