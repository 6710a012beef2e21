"""What a reload runs in the supervisor ends in time, or when a signal comes."""

import signal
import threading

import pytest

from fastmail_ingest.supervisor.interruptible import Interrupted, interruptible

LONG_S = 60.0  # far beyond any deadline that is tried here


def test_it_ends_in_time() -> None:
    with pytest.raises(Interrupted, match=r"longer than 0\.01 s"), interruptible(0.01):
        threading.Event().wait(LONG_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_it_ends_when_a_signal_comes(number: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=f"{number.name} came meanwhile"), interruptible(LONG_S):
        signal.raise_signal(number)


def test_what_ends_by_itself_leaves_no_trace() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
    with interruptible(LONG_S):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
