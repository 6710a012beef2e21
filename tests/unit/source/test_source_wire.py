"""The wire's patience: what is silent or drips is given up, what is slow but steady is not."""

import pytest

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.source import wire as module
from fastmail_ingest.source.wire import Wire, check_bye

TIMEOUT_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow:
    """A socket that brings `size` bytes each `seconds`."""

    def __init__(self, clock: Clock, size: int, seconds: float) -> None:
        self.clock = clock
        self.size = size
        self.seconds = seconds

    def gettimeout(self) -> float:
        return TIMEOUT_S

    def recv_into(self, view: memoryview) -> int:
        count = min(self.size, len(view))
        self.clock.now += self.seconds * count / self.size
        view[:count] = b"x" * count
        return count


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.mark.parametrize(("size", "seconds"), [(1, 1.0), (1, 0.01), (1000, 1.0), (50_000, 59.0)])
def test_an_answer_that_drips_is_given_up_after_the_timeout(clock: Clock, size: int, seconds: float) -> None:
    with pytest.raises(SourceUnavailable, match="too slow"):
        Wire(Slow(clock, size, seconds)).skip(1 << 60)  # type: ignore[arg-type]
    assert TIMEOUT_S <= clock.now <= TIMEOUT_S * 2


@pytest.mark.parametrize(("size", "seconds"), [(1100, 1.0), (20, 0.01), (300_000, 59.0)])
def test_a_slow_answer_may_take_as_long_as_it_needs(clock: Clock, size: int, seconds: float) -> None:
    Wire(Slow(clock, size, seconds)).skip(size * 3000)  # type: ignore[arg-type]
    assert clock.now >= 3000 * seconds * 0.99


def test_many_short_answers_are_no_slow_one(clock: Clock) -> None:
    wire = Wire(Slow(clock, 20, 1.0))  # type: ignore[arg-type]
    for _ in range(300):
        wire.begin()
        wire.skip(20)


def test_time_that_we_take_for_ourselves_does_not_count(clock: Clock) -> None:
    wire = Wire(Slow(clock, 20, 0.001))  # type: ignore[arg-type]
    for _ in range(300):
        wire.skip(20)
        clock.now += 30.0


@pytest.mark.parametrize("line", [b"* BYE\r\n", b"* BYE [UNAVAILABLE] later\r\n", b"* bye \r\n"])
def test_a_bye_is_known(line: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="hung up"):
        check_bye(line)


def test_what_only_begins_like_a_bye_is_none() -> None:
    check_bye(b"* BYEBYE\r\n")
