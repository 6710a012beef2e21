"""The memory of handled mails: counted by month, and cleared for maintenance."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from support.invariants import assert_invariants
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.memory import LedgerMemory, _keep_sample

THIS_MONTH = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m")


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def memory(stream: Operated) -> Iterator[LedgerMemory]:
    with LedgerMemory(stream.url, "", stream.arguments) as made:
        yield made


def of_old(stream: Operated, month: str, handled: int) -> None:
    """A month that was, with a mailbox in it whose name looks like a key."""
    base = stream.keys.month(month)
    stream.client.hset(base, mapping={"done": handled, "digests": 1, "buckets": 1})
    stream.client.sadd(f"{base}:at:a:INBOX:known:0:at:1:7:0", *range(handled))
    stream.client.hset(f"{base}:known:0", b"d" * 12, "")


def test_nothing_is_remembered(memory: LedgerMemory) -> None:
    assert memory.months() == []
    assert memory.clear() == 0


def test_months_are_counted(stream: Operated, memory: LedgerMemory) -> None:
    of_old(stream, "202601", 5)
    for at in range(0, 2000, 100):
        stream.append(*range(at + 1, at + 101))
        stream.finish()
    old, new = memory.months()
    assert (old.month, old.handled, old.digests, old.keys) == ("202601", 5, 1, 3)
    assert (new.month, new.handled, new.digests) == (memory.this_month(), 2000, 2000)
    exact = sum(
        stream.client.memory_usage(key, samples=0) or 0
        for key in stream.client.scan_iter(f"{stream.keys.month(new.month)}*")
    )
    assert new.memory_bytes == pytest.approx(exact, rel=0.01)
    assert 10 < new.bytes_a_mail <= 60


def test_a_sample_is_taken_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sample: list[bytes] = []
    for number in range(1, 10_001):
        _keep_sample(sample, b"%d" % number, number)
    assert len(sample) == len(set(sample)) == 256
    assert any(int(key) > 5000 for key in sample)


def test_months_before_are_forgotten_and_no_other(stream: Operated, memory: LedgerMemory) -> None:
    of_old(stream, "202601", 5)
    of_old(stream, "202602", 6)
    stream.append(1)
    stream.finish()
    for wrong in ("2026-02", "202613", ""):
        with pytest.raises(ConfigError, match="yyyymm"):
            memory.clear(wrong)
    assert memory.clear("202602") == 5
    assert [month.month for month in memory.months()] == ["202602", THIS_MONTH]
    assert not list(stream.client.scan_iter("*202601*"))
    assert stream.ledger.states([stream.identity(1)]) == ["done"]


def test_all_is_forgotten_and_what_waits_stays(stream: Operated, memory: LedgerMemory) -> None:
    of_old(stream, "202601", 5)
    stream.append(*range(1, 200))
    stream.finish()
    stream.bury(1000)
    stream.delay(1001)
    stream.append(1002)
    assert memory.clear() == 199 + 5
    assert memory.months() == []
    names = [stream.identity(uid) for uid in (1, 1000, 1001, 1002)]
    assert stream.ledger.states(names) == ["unknown", "queued", "queued", "queued"]
    assert_invariants(stream.client)
    stream.client.delete(stream.keys.cursors + "a:INBOX")
    stream.append(1, 1000)
    assert len(stream.entries()) == 2
    stream.finish()
    assert [month.handled for month in memory.months()] == [2]
    assert_invariants(stream.client)


def test_a_full_redis_is_relieved(stream: Operated, memory: LedgerMemory) -> None:
    of_old(stream, "202601", 5)
    of_old(stream, "202602", 5)
    stream.client.config_set("maxmemory", "1")
    try:
        assert memory.clear("202602") == 5
    finally:
        stream.client.config_set("maxmemory", "0")
    assert [month.month for month in memory.months()] == ["202602"]
    assert stream.client.get(stream.keys.forgotten) == b"1769904000000"
    memory.clear("202601")
    assert stream.client.get(stream.keys.forgotten) == b"1769904000000"


def test_a_mailbox_whose_name_is_no_utf8(stream: Operated, memory: LedgerMemory) -> None:
    stream.client.sadd(stream.keys.month("202601").encode() + b":at:a:\xff\xfe:1:0", 1)
    assert memory.months()[0].keys == 1
    memory.clear()
    assert memory.months() == []


@pytest.mark.parametrize(
    ("key", "month"),
    [
        ("{fmi:0}:done:202601", "202601"),
        ("{fmi:0}:done:202601:at:a:b:1:0", "202601"),
        ("{fmi:0}:done:202601:known:5", "202601"),
        ("{fmi:0}:done:2026011", ""),
        ("{fmi:0}:done:20260", ""),
        ("{fmi:0}:done", ""),
        ("{fmi:0}:dead", ""),
        ("{fmi:0}:done:abcdef:at", ""),
    ],
)
def test_which_keys_are_memory(key: str, month: str) -> None:
    assert Keys("fmi").month_of(key) == month
