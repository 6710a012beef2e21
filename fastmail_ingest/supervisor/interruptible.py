"""Code of somebody else's in the supervisor itself, on a reload: whatever it does, signals are heard."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Whoever sends one wants something else than to wait: to stop, or to take over what is newer.
_INTERRUPTING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_AGAIN_AFTER_S = 1.0
# Code that catches so many in a row ends with the process only.
_INTERRUPTIONS_MAX = 5
_SIGNALLED = 128  # as shells say it: 128 + the signal's number


class Interrupted(BaseException):
    """It took too long, or a signal came; no Exception, which the code within might catch."""


@contextmanager
def interruptible(seconds: float) -> Iterator[None]:
    """Raise Interrupted in the code within after `seconds`, or when a signal comes that wants something else.

    The signal itself stays for whoever waits for it (see Wakeups). Code that catches the exception is
    interrupted again; if it was to stop, the process ends after some times: its children die with it, and
    what they had in hand is put back.
    """
    within, stopped_by, count = True, 0, 0

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal stopped_by, count
        if not within:
            return
        count += 1
        if number in _STOPPING:
            stopped_by = stopped_by or number
        if stopped_by and count > _INTERRUPTIONS_MAX:
            os._exit(_SIGNALLED + stopped_by)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER_S)
        raise Interrupted(
            f"it took longer than {seconds:g} s"
            if number == signal.SIGALRM
            else f"{signal.Signals(number).name} came meanwhile"
        )

    before = {number: signal.signal(number, interrupt) for number in (*_INTERRUPTING, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        within = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
