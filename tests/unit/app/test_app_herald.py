"""What the service manager hears while a supervisor goes through its phases; the clock is an argument."""

from collections.abc import Callable, Iterator

import pytest
from support.service_manager import ServiceManager

from fastmail_ingest.app.herald import EXTENSION_EVERY_S, STATUS_EVERY_S, Herald
from fastmail_ingest.supervisor.hooks import Phase
from fastmail_ingest.supervisor.notify import Notifier
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.telemetry.counters import Counter


class Play:
    """A herald, its manager, and a clock that is moved by hand."""

    def __init__(self, manager: ServiceManager, watchdog_s: float) -> None:
        self.manager = manager
        self.now = 1000.0
        self.table = SlotTable(4, 1)
        self.table.board.row(0).name, self.table.board.row(0).wanted = "worker", 2
        self.herald = Herald(Notifier(manager.address, watchdog_s), lambda: self.now)

    def pulse(self, phase: Phase, after_s: float = 0.0) -> list[dict[str, str]]:
        self.now += after_s
        before = len(self.manager.listen())
        self.herald.pulse(phase, self.table)
        return self.manager.listen()[before:]

    def names(self, phase: Phase, after_s: float = 0.0) -> list[str]:
        return [name for each in self.pulse(phase, after_s) for name in each]


@pytest.fixture
def play() -> Iterator[Callable[[float], Play]]:
    with ServiceManager() as manager:
        yield lambda watchdog_s=0.0: Play(manager, watchdog_s)


def test_ready_is_said_once_and_stopping_once(play) -> None:
    on = play()
    assert "READY" not in on.names(Phase.STARTING)
    assert on.names(Phase.RUNNING).count("READY") == 1
    assert "READY" not in on.names(Phase.RUNNING, 60.0)
    assert on.names(Phase.STOPPING).count("STOPPING") == 1
    assert "STOPPING" not in on.names(Phase.STOPPING, 60.0)


def test_a_reload_is_answered_by_ready_with_the_time_at_which_it_began(play) -> None:
    on = play()
    on.pulse(Phase.RUNNING)
    on.herald.reloading()
    on.herald.reloaded(taken=True)
    (begin,) = [each for each in on.manager.listen() if "RELOADING" in each]
    assert begin["MONOTONIC_USEC"] == "1000000000"
    assert "READY" not in on.names(Phase.RELOADING, 1.0)
    assert on.names(Phase.RUNNING, 1.0).count("READY") == 1


def test_a_refused_reload_is_answered_by_ready_too_and_stays_in_the_status(play) -> None:
    on = play()
    on.pulse(Phase.RUNNING)
    on.herald.reloading()
    on.herald.reloaded(taken=False)
    heard = on.pulse(Phase.RUNNING)
    assert "READY" in heard[0]
    assert "the last reload was refused" in heard[-1]["STATUS"]
    on.herald.reloading()
    on.herald.reloaded(taken=True)
    assert "refused" not in str(on.pulse(Phase.RUNNING))


def test_a_reload_before_all_was_ready_says_nothing_of_ready(play) -> None:
    on = play()
    on.pulse(Phase.STARTING)
    on.herald.reloading()
    assert "READY" not in on.names(Phase.STARTING)
    assert on.names(Phase.RUNNING).count("READY") == 1


def test_what_was_not_taken_is_said_again() -> None:
    with ServiceManager() as manager:
        on = Play(manager, 0.0)
    assert on.herald.pulse(Phase.RUNNING, on.table) is None
    with ServiceManager() as other:
        on.herald._notifier.address = other.address
        on.herald.pulse(Phase.RUNNING, on.table)
        assert "READY" in other.listen()[0]


@pytest.mark.parametrize(("watchdog_s", "pulse_s"), [(0.0, 1.0), (60.0, 1.0), (2.0, 0.5), (0.2, 0.05)])
def test_the_watchdog_hears_of_us_within_half_of_its_time(play, watchdog_s: float, pulse_s: float) -> None:
    on = play(watchdog_s)
    assert on.herald.pulse_s == pulse_s
    on.pulse(Phase.RUNNING)
    beats, last = [], on.now
    for _ in range(200):
        if "WATCHDOG" in on.names(Phase.RUNNING, on.herald.pulse_s):
            beats.append(on.now - last)
            last = on.now
    assert bool(beats) is bool(watchdog_s)
    assert all(beat <= watchdog_s * 0.75 for beat in beats)


@pytest.mark.parametrize(
    ("phase", "extended"),
    [(Phase.STARTING, True), (Phase.RUNNING, False), (Phase.RELOADING, False), (Phase.STOPPING, True)],
)
def test_time_is_asked_for_while_starting_and_stopping(play, phase: Phase, extended: bool) -> None:
    on = play()
    on.pulse(phase)
    for _ in range(3):
        assert ("EXTEND_TIMEOUT_USEC" in on.names(phase, EXTENSION_EVERY_S)) is extended
        assert "EXTEND_TIMEOUT_USEC" not in on.names(phase, EXTENSION_EVERY_S / 2)


def test_time_is_asked_for_while_redis_loads_its_data(play) -> None:
    on = play()
    on.herald.waiting("Redis is loading its data")
    (heard,) = on.manager.listen()
    assert heard == {"EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "Redis is loading its data"}
    on.herald.waiting("Redis is loading its data")
    assert len(on.manager.listen()) == 1


def test_the_status_is_one_line_with_rates_and_backlog(play) -> None:
    on = play()
    on.pulse(Phase.RUNNING)
    slot = on.table.slot(0)
    slot.claim(0, 1, on.now)
    slot.ready()
    for counter, value in {
        Counter.DONE: 50, Counter.FETCHED: 100, Counter.COUNTED: 1, Counter.BACKLOG: 7,
        Counter.WAITING_RETRY: 3, Counter.DEAD_LETTERS: 2,
    }.items():  # fmt: skip
        slot.put(counter, value)
    (heard,) = on.pulse(Phase.RUNNING, STATUS_EVERY_S)
    assert heard["STATUS"] == (
        "running: 1 of 2 processes at work; 20.0 mails/s fetched, 10.0 handled; "
        "7 to handle, 3 waiting for a retry, 2 dead letters"
    )
    (heard,) = on.pulse(Phase.RUNNING, STATUS_EVERY_S)
    assert "0.0 mails/s fetched" in heard["STATUS"]
    assert on.pulse(Phase.RUNNING, STATUS_EVERY_S) == []


def test_the_last_words_are_the_reason(play) -> None:
    on = play()
    on.herald.last_words("worker cannot start: exit code 2,\nno module")
    assert on.manager.listen()[-1] == {"STATUS": "worker cannot start: exit code 2, no module"}
