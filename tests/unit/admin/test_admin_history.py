"""The last hour: what is noted comes out, in any step, also after the process that noted it died."""

import os

import pytest

from fastmail_ingest.admin.history import SECONDS, History

START = 1_700_000_000


def test_counts_are_told_per_second_and_levels_as_they_ended() -> None:
    history = History()
    for second in range(20):
        sums = (10 * (second + 1), 5 * (second + 1), second, 0, 1000 * 5 * (second + 1))
        history.note(START + second, sums, (second, 1, 2))
    ten = history.series(20, 10, START + 20)
    assert ten.time == [START, START + 10]
    assert ten.fetched_per_s == [10.0, 10.0]
    assert ten.handled_per_s == [5.0, 5.0]
    assert ten.retried_per_s == [0.9, 1.0]
    assert ten.latency_ms == [1.0, 1.0]
    assert ten.to_handle == [9, 19]
    one = history.series(3, 1, START + 20)
    assert one.time == [START + 17, START + 18, START + 19]
    assert one.to_handle == [17, 18, 19]


def test_two_looks_in_one_second_are_added_up() -> None:
    history = History()
    history.note(START, (4, 0, 0, 0, 0), (1, 1, 1))
    history.note(START, (10, 0, 0, 0, 0), (2, 2, 2))
    series = history.series(1, 1, START + 1)
    assert series.fetched_per_s == [10.0]
    assert series.to_handle == [2]
    assert series.latency_ms == [None]


def test_what_is_not_known_is_none_and_what_is_long_ago_is_forgotten() -> None:
    history = History()
    history.note(START, (1, 1, 0, 0, 0), (7, 7, 7))
    history.note(START + 1, (1, 1, 0, 0, 0), None)
    assert history.series(2, 1, START + 2).dead_letters == [7, None]
    assert history.lowest("dead_letters", 10, START + 2) == 7
    assert history.lowest("dead_letters", 10, START + 100) is None
    history.note(START + SECONDS, (2, 2, 0, 0, 0), (1, 1, 1))
    assert history.series(SECONDS, 1, START + SECONDS + 1).time == [START + 1, START + SECONDS]


def test_gaps_are_left_out() -> None:
    history = History()
    history.note(START, (1, 0, 0, 0, 0), None)
    history.note(START + 30, (2, 0, 0, 0, 0), None)
    assert history.series(60, 10, START + 31).time == [START, START + 30]


@pytest.mark.parametrize("sums", [(9, 9, 9, 9, 9), (11, 11, 11, 11, 11)])
def test_a_successor_goes_on_where_the_dead_one_ended(sums: tuple[int, ...]) -> None:
    history = History()
    pid = os.fork()
    if pid == 0:
        history.note(START, (10, 10, 10, 10, 10), (1, 2, 3))
        os._exit(0)
    os.waitpid(pid, 0)
    history.note(START + 1, sums, (4, 5, 6))
    series = history.series(2, 1, START + 2)
    assert series.handled_per_s == [10.0, max(0, sums[1] - 10)]
    assert series.waiting_for_retry == [2, 5]


def test_rates_are_means_of_the_seconds_that_there_are() -> None:
    history = History()
    history.note(START, (10, 10, 0, 0, 20_000), None)
    history.note(START + 1, (40, 40, 0, 0, 140_000), None)
    assert history.rates(10, START + 2) == {
        "fetched_per_s": 20.0, "handled_per_s": 20.0, "retried_per_s": 0.0, "dead_per_s": 0.0, "latency_ms": 3.5,
        "p50_ms": None, "p95_ms": None, "p99_ms": None,
    }  # fmt: skip
    assert history.rates(10, START + 100)["latency_ms"] is None
    assert history.rates(10, START + 100)["handled_per_s"] == 0.0


def test_quantiles_stay_with_the_second_in_which_they_were_looked_at() -> None:
    history = History()
    history.note(START, (1, 1, 0, 0, 0), (1, 1, 1), (2.5, 9.0, 12.0))
    history.note(START, (2, 2, 0, 0, 0), (1, 1, 1))
    history.note(START + 1, (3, 3, 0, 0, 0), (1, 1, 1))
    history.note(START + 7, (4, 4, 0, 0, 0), None, (3.5, 8.0, 9.0))
    one = history.series(8, 1, START + 8)
    assert one.p50_ms == [2.5, None, 3.5]
    assert one.handled_per_s == [2.0, 1.0, 1.0]
    assert history.series(10, 10, START + 8).p99_ms == [9.0]
    assert history.rates(5, START + 8)["p95_ms"] == 8.0
    assert history.rates(5, START + 7)["p95_ms"] is None
