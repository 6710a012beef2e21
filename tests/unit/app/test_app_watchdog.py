"""Who counts as stuck, by what the slots show."""

import time

import pytest

from fastmail_ingest.app.watchdog import CONFIRMED_AFTER_S, SILENCE_S, Watchdog, find_stuck
from fastmail_ingest.policy.breaker import State as Breaker
from fastmail_ingest.supervisor.slots import Slot, SlotTable
from fastmail_ingest.telemetry.counters import Counter

STALL_S = 60.0
NOW = time.monotonic() + 10_000
S = 10**9


@pytest.fixture
def table() -> SlotTable:
    made = SlotTable(4, 2)
    maintenance, worker = made.slot(0), made.slot(1)
    for number, slot in enumerate((maintenance, worker)):
        slot.claim(number, number + 1, NOW - 5000)
        slot.pid = 100 + number
        slot.ready()
        slot.put(Counter.ALIVE_NS, ago(0.5))
    worker.put(Counter.CLIENT_ID, 7)
    worker.put(Counter.LAST_SETTLE_NS, ago(200))
    maintenance.put(Counter.UNREAD_SINCE_NS, ago(100))
    return made


def ago(seconds: float) -> int:
    return int((NOW - seconds) * S)


def stuck(table: SlotTable) -> dict[int, str]:
    return dict(find_stuck(table, STALL_S, NOW))


def worker(table: SlotTable) -> Slot:
    return table.slot(1)


def test_a_worker_that_settles_nothing_while_mail_waits(table: SlotTable) -> None:
    assert stuck(table) == {101: "mail waits and it has settled nothing for 60 s"}


def test_no_mail_waits(table: SlotTable) -> None:
    table.slot(0).put(Counter.UNREAD_SINCE_NS, 0)
    assert stuck(table) == {}


def test_mail_waits_only_since_now(table: SlotTable) -> None:
    table.slot(0).put(Counter.UNREAD_SINCE_NS, ago(10))
    assert stuck(table) == {}


def test_it_has_just_settled_something(table: SlotTable) -> None:
    worker(table).put(Counter.LAST_SETTLE_NS, ago(1))
    assert stuck(table) == {}


def test_it_has_a_mail_in_hand(table: SlotTable) -> None:
    worker(table).hold(0, NOW - 3000, 1, b"1-0")
    worker(table).put(Counter.ALIVE_NS, ago(3000))
    assert stuck(table) == {}


def test_it_was_just_born(table: SlotTable) -> None:
    worker(table).claim(1, 9, NOW - 5)
    worker(table).pid = 101
    worker(table).ready()
    worker(table).put(Counter.CLIENT_ID, 8)
    assert stuck(table) == {}


@pytest.mark.parametrize("breaker", [Counter.HANDLER_BREAKER, Counter.REDIS_BREAKER])
@pytest.mark.parametrize("state", [Breaker.OPEN, Breaker.HALF_OPEN])
def test_it_waits_behind_a_breaker(table: SlotTable, breaker: Counter, state: Breaker) -> None:
    worker(table).put(breaker, state)
    assert stuck(table) == {}


def test_a_process_that_gives_no_sign_of_life(table: SlotTable) -> None:
    table.slot(0).put(Counter.UNREAD_SINCE_NS, 0)
    table.slot(0).put(Counter.ALIVE_NS, ago(max(SILENCE_S, STALL_S) + 1))
    assert list(stuck(table)) == [100]


def test_a_process_that_never_promised_any(table: SlotTable) -> None:
    table.slot(0).put(Counter.UNREAD_SINCE_NS, 0)
    table.slot(0).put(Counter.ALIVE_NS, 0)
    assert stuck(table) == {}


def test_one_look_is_not_enough(table: SlotTable) -> None:
    watchdog = Watchdog(table, STALL_S)
    assert watchdog(NOW) == []
    assert watchdog(NOW + 0.5) == []
    assert [pid for pid, _ in watchdog(NOW + CONFIRMED_AFTER_S)] == [101]


def test_who_goes_on_between_two_looks_is_left_alone(table: SlotTable) -> None:
    watchdog = Watchdog(table, STALL_S)
    watchdog(NOW)
    worker(table).put(Counter.LAST_SETTLE_NS, ago(-0.5))
    assert watchdog(NOW + 2) == []
