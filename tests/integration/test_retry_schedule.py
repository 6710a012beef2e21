"""The retry schedule: visible, to be cut short by an operator, and nothing of it stays behind."""

from collections.abc import Iterator

import pytest
from support.invariants import assert_invariants
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.errors import ConfigError, StreamUnavailable
from fastmail_ingest.stream import schedule as module
from fastmail_ingest.stream.schedule import RetrySchedule


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def schedule(stream: Operated) -> Iterator[RetrySchedule]:
    with RetrySchedule(stream.url, "", stream.arguments) as made:
        yield made


def assert_nothing_left(stream: Operated) -> None:
    assert not stream.client.exists(stream.keys.delayed, stream.keys.delayed_body)
    assert_invariants(stream.client)


def test_nothing_waits(schedule: RetrySchedule) -> None:
    assert (len(schedule), list(schedule), schedule.all_now(), schedule.now([])) == (0, [], 0, 0)


def test_what_waits_is_shown_soonest_first(stream: Operated, schedule: RetrySchedule) -> None:
    stream.delay(1, after_s=600)
    stream.delay(2, after_s=60, error="KeyError: 'customer'")
    soon, late = schedule
    assert (soon.identity, soon.failures, soon.error) == ("a:INBOX:7:2", 1, "KeyError: 'customer'")
    assert 50 < soon.due_in_s <= 60
    assert 590 < late.due_in_s <= 600
    assert soon.due_at == pytest.approx(schedule.now_ms() / 1000 + soon.due_in_s, abs=10)
    assert soon.stored_bytes > 100


def test_mails_of_one_due_time_are_all_shown(
    stream: Operated, schedule: RetrySchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 7)
    stream.delay(*range(1, 51))
    for identity in stream.client.zrange(stream.keys.delayed, 0, 29):
        stream.client.zadd(stream.keys.delayed, {identity: 1.5e12})
    shown = [waiting.identity for waiting in schedule]
    assert len(shown) == len(set(shown)) == 50
    assert sum(waiting.due_in_s < 0 for waiting in schedule) == 30


def test_large_mails_do_not_travel(stream: Operated, schedule: RetrySchedule) -> None:
    stream.append(1, raw=b"x" * 12_000_000)
    stream.append(2, raw=b"x" * 12_000_000)
    stream.delay(3)
    before = stream.client.info("stats")["total_net_output_bytes"]
    assert sorted(waiting.stored_bytes > 12_000_000 for waiting in schedule) == [False, True, True]
    assert stream.client.info("stats")["total_net_output_bytes"] - before < 100_000


def test_one_is_retried_now(stream: Operated, schedule: RetrySchedule) -> None:
    stream.delay(1, 2)
    assert schedule.now(["a:INBOX:7:1"]) == 1
    assert [waiting.identity for waiting in schedule] == ["a:INBOX:7:2"]
    ((_, fields),) = stream.client.xrange(stream.keys.again)
    assert fields[b"f"] == b"1"
    assert_invariants(stream.client)


def test_a_name_that_is_none_changes_nothing(stream: Operated, schedule: RetrySchedule) -> None:
    stream.delay(1)
    for wrong in ("a:INBOX:7:2", "", "*"):
        with pytest.raises(ConfigError, match="retries list"):
            schedule.now(["a:INBOX:7:1", wrong])
    assert len(schedule) == 1


def test_all_are_retried_now_and_nothing_stays_behind(stream: Operated, schedule: RetrySchedule) -> None:
    stream.delay(*range(1, 131))
    steps: list[int] = []
    assert schedule.all_now(steps.append) == 130
    assert sum(steps) == 130
    assert len(steps) > 1
    assert_nothing_left(stream)


def test_what_fails_anew_meanwhile_is_not_chased(stream: Operated, schedule: RetrySchedule) -> None:
    stream.delay(*range(1, 121), after_s=60)
    assert schedule.all_now(lambda _: stream.delay(999, after_s=0)) <= 120
    assert len(schedule) > 0
    assert_invariants(stream.client)


# --- nothing stays behind -------------------------------------------------------------------------------


def test_a_due_retry_takes_its_records_with_it(stream: Operated) -> None:
    stream.delay(*range(1, 31), after_s=0)
    assert stream.ledger.promote() == 30
    assert_nothing_left(stream)


@pytest.mark.parametrize("harm", ["no body", "no time", "damaged body", "body without mail"])
def test_what_a_hand_has_broken_is_cleared_up_and_the_mail_is_not_lost(
    stream: Operated, schedule: RetrySchedule, harm: str
) -> None:
    stream.delay(1, 2, after_s=0)
    keys, broken = stream.keys, stream.identity(1)
    if harm == "no body":
        stream.client.hdel(keys.delayed_body, broken)
    elif harm == "no time":
        stream.client.zrem(keys.delayed, broken)
    else:
        stream.client.hset(keys.delayed_body, broken, b"\xc1\xc1" if harm == "damaged body" else b"\x80")
    assert all(waiting.failures in {0, 1} for waiting in schedule)
    stream.ledger.promote()
    if not stream.ledger.census().agrees:
        stream.ledger.reconcile()
    stream.ledger.promote()
    assert_nothing_left(stream)
    names = {stream.identity(1), stream.identity(2)}
    there = {name for name in names if stream.ledger.states([name]) == ["queued"]}
    # What cannot be tried again from here is fetched again.
    assert there == names or stream.client.hget(keys.cursors + "a:INBOX", "last_uid") == b"0"


def test_a_mail_that_cannot_be_retried_does_not_count_as_moved(
    stream: Operated, schedule: RetrySchedule
) -> None:
    stream.delay(1, 2)
    stream.client.hset(stream.keys.delayed_body, stream.identity(1), b"\xc1")
    assert schedule.all_now() == 1
    assert stream.client.zcard(stream.keys.delayed) == 0


def test_redis_away(redis_binary: str) -> None:
    server = RedisServer(redis_binary)
    try:
        schedule = RetrySchedule(server.url, "", Operated(server).arguments)
        server.kill()
        for ask in (lambda: list(schedule), lambda: schedule.now(["x"]), schedule.all_now):
            with pytest.raises(StreamUnavailable):
                ask()
    finally:
        server.close()
