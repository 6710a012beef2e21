"""Lines that repeat: a burst of them, then their number; none is lost from the count, and memory is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.policy.repeats import HeldBack, RepeatRule, Repeats

RULE = RepeatRule(burst=3, interval_s=10.0, kinds_max=4)


def written(repeats: Repeats[str], kind: str, count: int, now: float) -> int:
    return sum(repeats.passes(kind, now) for _ in range(count))


def test_a_burst_is_written_and_the_rest_told_when_its_interval_is_over() -> None:
    repeats: Repeats[str] = Repeats(RULE)
    assert written(repeats, "a", 10, 100.0) == 3
    assert list(repeats.ended(109.9)) == []
    assert list(repeats.ended(110.0)) == [HeldBack("a", 7, 10.0)]
    assert written(repeats, "a", 1, 110.0) == 1


def test_what_stays_below_the_burst_is_never_spoken_of() -> None:
    repeats: Repeats[str] = Repeats(RULE)
    assert written(repeats, "a", 3, 0.0) == 3
    assert list(repeats.ended(1e9)) == []
    assert list(repeats.close(1e9)) == []


def test_kinds_do_not_hold_each_other_back() -> None:
    repeats: Repeats[str] = Repeats(RULE)
    assert [written(repeats, kind, 5, 0.0) for kind in "abc"] == [3, 3, 3]
    assert list(repeats.close(4.0)) == [HeldBack(kind, 2, 4.0) for kind in "abc"]


def test_the_oldest_kind_is_told_and_forgotten_where_there_are_too_many() -> None:
    repeats: Repeats[str] = Repeats(RULE)
    for at, kind in enumerate("abcd"):
        assert list(repeats.ended(float(at))) == []
        written(repeats, kind, 4, float(at))
    assert list(repeats.ended(4.0)) == [HeldBack("a", 1, 4.0)]


@pytest.mark.parametrize(("now", "left"), [(5.0, 5.0), (10.0, 0.0), (50.0, 0.0)])
def test_it_says_when_something_is_to_be_told(now: float, left: float) -> None:
    repeats: Repeats[str] = Repeats(RULE)
    assert repeats.next_end_s(now) is None
    written(repeats, "quiet", 1, 0.0)
    assert repeats.next_end_s(now) is None
    written(repeats, "a", 4, 0.0)
    assert repeats.next_end_s(now) == left


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0.0, 6.0)), max_size=200))
def test_each_line_is_written_or_counted(lines: list[tuple[str, float]]) -> None:
    repeats: Repeats[str] = Repeats(RULE)
    now, passed, told, most = 0.0, 0, 0, 0
    for kind, later in lines:
        now += later
        told += sum(held.count for held in repeats.ended(now))
        passed += repeats.passes(kind, now)
        most = max(most, len(repeats._windows))
    told += sum(held.count for held in repeats.close(now))
    assert passed + told == len(lines)
    assert most <= RULE.kinds_max
    assert list(repeats.close(now)) == []
