"""The scripts and the two sides of the stream, on a real Redis and on the embedded Valkey."""

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest
from support.invariants import assert_invariants, dead_letters, done_count
from support.redis_server import RedisServer

from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.census import Census
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Dead, Delayed, Entry, NewMail, Settlement
from fastmail_ingest.model.identity import content_key
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

KEY = MailboxKey("a", "INBOX")


def mail(number: int, content: int | None = None, name: str = "") -> NewMail:
    key = content_key("a", b"%d" % (number if content is None else content))
    return NewMail(name or f"id{number}", key, payload(name or f"id{number}"))


def payload(identity: str) -> bytes:
    """The beginning of an envelope, as far as the scripts look into it."""
    return msgspec.msgpack.encode([1, identity, "rest"])


def identity(entry: Entry) -> str:
    return msgspec.msgpack.decode(entry.payload)[1]


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
        mails = [mail(n) for n in numbers]
        return self.put(mails, cursor or Cursor(1, max(numbers)), by_content=by_content).new

    def put(
        self, mails: list[NewMail], cursor: Cursor, key: MailboxKey = KEY, *, by_content: bool = False
    ) -> Appended:
        believed = self.ledger.cursor(key)
        return self.ledger.append(Append(key, mails, cursor, believed, by_content))

    def ending(
        self, *guilty: Entry, deaths_max: int = 3, lease_of: str = "", reason: str = "killed_worker"
    ) -> Ending:
        blamed = [(entry.lane, entry.id) for entry in guilty]
        return Ending(blamed, deaths_max=deaths_max, reason=reason, lease_of=lease_of)

    def states(self, *numbers: int) -> list[str]:
        return self.ledger.states([f"id{n}" for n in numbers])

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
        settlement.add_done(entry, identity(entry), 0.0)
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
    assert stream.states(1, 2, 3) == ["done", "done", "unknown"]
    assert_invariants(stream.client)


def test_the_cursor_moves_only_from_where_the_sender_believes_it_to_be(stream: Stream) -> None:
    stream.append(1, cursor=Cursor(5, 100))
    late = stream.ledger.append(Append(KEY, [mail(2)], Cursor(5, 50), believed=Cursor(5, 40)))
    assert (late.new, late.in_place) == (1, False)
    assert stream.ledger.cursor(KEY) == Cursor(5, 100)
    repeated = stream.ledger.append(Append(KEY, [mail(2)], Cursor(5, 100), believed=Cursor(5, 90)))
    assert (repeated.new, repeated.in_place) == (0, True)
    stream.append(1, cursor=Cursor(6, 10, 99))
    assert stream.ledger.cursor(KEY) == Cursor(6, 10, 99)


def test_a_cursor_that_was_removed_by_hand_is_not_made_again_from_memory(stream: Stream) -> None:
    stream.append(1, cursor=Cursor(5, 100))
    stream.client.delete(stream.arguments.keys.cursor(KEY))
    appended = stream.ledger.append(Append(KEY, [mail(2)], Cursor(5, 101), believed=Cursor(5, 100)))
    assert not appended.in_place
    assert stream.ledger.cursor(KEY) == Cursor()


def test_content_is_recognised_under_a_new_name(stream: Stream) -> None:
    stream.append(1)
    renamed = [mail(1, name="a:INBOX:2:1"), mail(2, name="a:INBOX:2:2")]
    assert stream.put(renamed, Cursor(2, 2), by_content=True).new == 1
    assert stream.put(renamed, Cursor(2, 2)).new == 0
    assert_invariants(stream.client)


def test_the_same_mail_in_two_folders_is_one_mail(stream: Stream) -> None:
    archive = MailboxKey("a", "Archive")
    assert stream.put([mail(1, name="a:INBOX:7:1")], Cursor(7, 1)).new == 1
    assert stream.put([mail(1, name="a:Archive:8:5")], Cursor(8, 5), archive).new == 0
    assert stream.ledger.states(["a:INBOX:7:1", "a:Archive:8:5"]) == ["queued", "done"]


def test_two_deliveries_of_the_same_bytes_into_one_folder_are_two_mails(stream: Stream) -> None:
    twins = [mail(0, content=9, name="a:INBOX:7:1"), mail(0, content=9, name="a:INBOX:7:2")]
    assert stream.put(twins, Cursor(7, 2)).new == 2
    assert_invariants(stream.client)


@pytest.mark.parametrize(
    "form", ["a:INBOX:7:{}", "a:gm:17834567890{}", "a:oid:M{}", "a:x:y:1:{}", "a:gm:1:{}"]
)
def test_every_form_of_name_is_remembered_exactly(stream: Stream, form: str) -> None:
    numbers = [*range(1, 40), *range(500, 530), *range(1020, 1030), 2**32 - 1]
    names = [form.format(number) for number in numbers]
    others = [form.format(number) for number in range(2000, 2200)]
    lanes = stream.lanes("n:1")
    stream.put([mail(number, name=name) for number, name in zip(numbers, names, strict=True)], Cursor(7, 1))
    assert stream.ledger.states(names) == ["queued"] * len(names)
    stream.settle(lanes, done(*stream.read(lanes)))
    assert stream.ledger.states(names) == ["done"] * len(names)
    assert stream.ledger.states(others) == ["unknown"] * len(others)
    assert done_count(stream.client) == len(names)


def test_the_table_of_digests_grows_and_forgets_nothing(stream: Stream) -> None:
    names = [f"a:gm:{number * 7919}" for number in range(5000)]
    lanes = stream.lanes("n:1")
    for at in range(0, len(names), 500):
        mails = [mail(at + i, name=name) for i, name in enumerate(names[at : at + 500])]
        stream.put(mails, Cursor(7, at + 500))
        stream.settle(lanes, done(*stream.read(lanes, 500)))
    assert stream.ledger.states(names) == ["done"] * len(names)
    assert stream.put([mail(i, name=name) for i, name in enumerate(names)], Cursor(7, 9999)).new == 0
    buckets = list(stream.client.scan_iter("{fmi:0}:done:*:known:*"))
    assert max(stream.client.hlen(bucket) for bucket in buckets) <= 300
    assert all(stream.client.ttl(bucket) > 0 for bucket in buckets)


def test_settle_writes_each_outcome_and_a_repetition_changes_nothing(stream: Stream) -> None:
    stream.append(1, 2, 3)
    lanes = stream.lanes("n:1")
    first, second, third = stream.read(lanes)
    settlement = done(first)
    settlement.delayed.append(Delayed(second, "id2", 60, "ValueError"))
    settlement.dead.append(Dead(third, "id3", "rejected", "Reject", "no", "trace"))
    assert stream.settle(lanes, settlement) == 0
    assert stream.settle(lanes, settlement) == 3
    assert stream.ledger.census() == Census(queued=2, lanes=0, delayed=1, bodies=1, dead=1)
    assert done_count(stream.client) == 1
    (letter,) = dead_letters(stream.client)
    assert (letter[b"m"], letter[b"id"], letter[b"reason"]) == (payload("id3"), b"id3", b"rejected")
    assert_invariants(stream.client)


def test_a_retry_comes_back_with_its_payload_and_its_failures(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    (entry,) = stream.read(lanes)
    settlement = Settlement()
    settlement.add_failed(Delayed(entry, "id1", 0, "ValueError"))
    stream.settle(lanes, settlement)
    assert stream.ledger.promote() == 1
    (again,) = stream.read(lanes)
    assert (again.lane, again.payload, again.failures, again.attempt) == (Lane.AGAIN, payload("id1"), 1, 2)
    assert_invariants(stream.client, workers_live=True)


def test_a_late_settle_is_fenced_off_by_the_new_entry_id(stream: Stream) -> None:
    stream.append(1, 2)
    slow, quick = stream.lanes("n:1"), stream.lanes("n:2")
    entries = stream.read(slow)
    assert stream.ledger.put_back("n:1", stream.ending()) == (2, 0)
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
    stream.ledger.put_back("n:1", stream.ending())
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
        guilty = next(entry for entry in entries if identity(entry) == "id1")
        moved, buried = stream.ledger.put_back(f"n:{death}", stream.ending(guilty, reason="hung"))
        assert (moved, buried) == ((1, 1) if death == 3 else (2, 0))
    (letter,) = dead_letters(stream.client)
    assert (letter[b"m"], letter[b"reason"], letter[b"k"]) == (payload("id1"), b"hung", b"3")
    assert stream.ledger.census().lanes == 1


def test_a_living_host_keeps_its_mails(stream: Stream) -> None:
    stream.append(1)
    stream.read(stream.lanes("node:1"))
    stream.ledger.renew_lease("node", 60)
    assert stream.ledger.put_back("node:1", stream.ending(lease_of="node")) == (-1, 0)
    stream.ledger.end_lease("node")
    assert stream.ledger.put_back("node:1", stream.ending(lease_of="node")) == (1, 0)


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
    month = time.strftime("%Y%m", time.gmtime(int(stream.client.time()[0])))
    assert f"{{fmi:0}}:done:{month}".encode() in set(stream.client.scan_iter())


def test_entries_that_were_deleted_by_hand_cost_their_neighbours_nothing(stream: Stream) -> None:
    stream.append(*range(250))
    lanes = stream.lanes("n:1")
    entries = stream.read(lanes, 250)
    stream.append(*range(250, 300))
    stream.read(lanes, 250)
    stream.client.xdel(stream.arguments.keys.lanes[Lane.LIVE], *[entry.id for entry in entries])
    assert stream.ledger.put_back("n:1", stream.ending()) == (50, 0)
    assert len(stream.read(stream.lanes("n:2"), 1000)) == 50


def test_a_lease_is_renewed_though_redis_has_no_memory_left(stream: Stream) -> None:
    stream.ledger.renew_lease("node", 60)
    stream.client.config_set("maxmemory", "1")
    try:
        stream.ledger.renew_lease("node", 600)
        assert stream.client.pttl(stream.arguments.keys.node("node")) > 60_000
    finally:
        stream.client.config_set("maxmemory", "0")


# --- retries, returns, neighbours -------------------------------------------------------------------


def test_a_postponed_mail_has_no_failure_but_may_have_been_seen(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    settlement = Settlement()
    settlement.add_failed(Delayed(stream.read(lanes)[0], "id1", 0, "CircuitOpen", counts=False))
    stream.settle(lanes, settlement)
    stream.ledger.promote()
    (again,) = stream.read(lanes)
    assert (again.failures, again.attempt) == (0, 2)


def test_the_neighbours_of_a_mail_in_hand_are_released_and_it_stays(stream: Stream) -> None:
    stream.append(*range(10))
    busy = stream.lanes("n:1")
    entries = stream.read(busy)
    held = [(entry.lane, entry.id) for entry in entries[:2]]
    assert stream.ledger.release("n:1", 0, held) == 8
    assert stream.loop.run_until_complete(busy.owned(entries)) == entries[:2]
    taken = stream.read(stream.lanes("n:2"))
    assert [entry.attempt for entry in taken] == [1] * 8
    assert stream.settle(busy, done(*entries[:2])) == 0
    assert_invariants(stream.client, workers_live=True)


def test_full_hands_give_back_what_they_have_not_begun(stream: Stream) -> None:
    stream.append(*range(5))
    busy = stream.lanes("n:1")
    entries = stream.read(busy)
    stream.loop.run_until_complete(busy.hand_back(entries[3:]))
    assert len(stream.loop.run_until_complete(busy.owned(entries))) == 3
    assert [entry.attempt for entry in stream.read(stream.lanes("n:2"))] == [1, 1]


def test_a_removed_group_costs_no_mail_and_doubles_none(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastmail_ingest.stream.ledger.REGROUP_GRACE_MS", 0)
    stream.append(*range(6))
    busy = stream.lanes("n:1")
    quick, slow, _ = stream.read(busy, 3)
    stream.client.xgroup_destroy(stream.arguments.keys.lanes[Lane.LIVE], "workers")
    other = stream.lanes("n:2")
    assert stream.read(other) == []
    assert stream.settle(busy, done(quick)) == 0
    stream.ledger.claim("n:1", [(slow.lane, slow.id)])
    assert stream.ledger.regroup() == (4, True)
    again = stream.read(other)
    assert {entry.lane for entry in again} == {Lane.AGAIN}
    assert [entry.attempt for entry in again] == [2] * 4
    assert stream.settle(busy, done(slow)) == 0
    assert stream.ledger.regroup() == (0, True)
    assert stream.settle(other, done(*again)) == 0
    assert done_count(stream.client) == 6
    assert_invariants(stream.client)


# --- the books --------------------------------------------------------------------------------------


def test_bytes_are_counted_to_nothing(stream: Stream) -> None:
    stream.append(*range(30))
    assert stream.ledger.waiting() == (30, sum(len(payload(f"id{n}")) for n in range(30)))
    lanes = stream.lanes("n:1")
    entries = stream.read(lanes)
    settlement = done(*entries[:10])
    settlement.delayed.append(Delayed(entries[10], identity(entries[10]), 0, "x"))
    settlement.dead.append(Dead(entries[11], identity(entries[11]), "rejected", "Reject", "no"))
    stream.settle(lanes, settlement)
    stream.settle(lanes, settlement)
    guilty = entries[12]
    stream.ledger.put_back("n:1", stream.ending(guilty, deaths_max=1))
    assert stream.ledger.waiting()[0] == 18
    assert stream.ledger.waiting()[1] == sum(len(entry.payload) for entry in (entries[10], *entries[13:]))
    stream.ledger.promote()
    last = stream.lanes("n:2")
    stream.settle(last, done(*stream.read(last)))
    assert stream.ledger.waiting() == (0, 0)
    assert_invariants(stream.client)


def test_a_foreign_entry_becomes_a_dead_letter_with_all_its_fields(stream: Stream) -> None:
    lanes = stream.lanes("n:1")
    stream.client.xadd(stream.arguments.keys.lanes[Lane.LIVE], {"by": "hand"})
    (entry,) = stream.read(lanes)
    settlement = Settlement()
    settlement.dead.append(Dead(entry, "", "undecodable", "UndecodableEntry", "?"))
    stream.settle(lanes, settlement)
    (letter,) = dead_letters(stream.client)
    assert letter[b"id"] == b"foreign:" + entry.id
    assert b"hand" in letter[b"x"]
    assert_invariants(stream.client)


def test_a_foreign_entry_of_a_dead_worker_does_not_come_again(stream: Stream) -> None:
    lanes = stream.lanes("n:1")
    stream.client.xadd(stream.arguments.keys.lanes[Lane.LIVE], {"by": "hand"})
    stream.read(lanes)
    assert stream.ledger.put_back("n:1", stream.ending()) == (0, 1)
    assert_invariants(stream.client)


def test_an_entry_of_a_newer_version_keeps_its_name_in_the_dead_letters(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    settlement = Settlement()
    settlement.dead.append(Dead(stream.read(lanes)[0], "", "undecodable", "UndecodableEntry", "version 9"))
    stream.settle(lanes, settlement)
    assert dead_letters(stream.client)[0][b"id"] == b"id1"
    assert stream.ledger.waiting() == (0, 0)
    assert_invariants(stream.client)


@pytest.mark.parametrize("name", ["a:INBOX:1:5", "a:gm:1234"])
def test_a_lane_that_was_deleted_by_hand_is_fetched_again(stream: Stream, name: str) -> None:
    stream.put([mail(1, name="a:INBOX:1:4"), mail(2, name=name)], Cursor(1, 9))
    lanes = stream.lanes("n:1")
    first = stream.read(lanes, 1)
    stream.settle(lanes, done(*first))
    stream.client.delete(stream.arguments.keys.lanes[Lane.LIVE])
    assert not stream.ledger.census().agrees
    assert stream.ledger.reconcile() == (1, 0, [name])
    assert stream.ledger.cursor(KEY).last_uid == (4 if name.startswith("a:INBOX") else 0)
    assert stream.ledger.states([name, "a:INBOX:1:4"]) == ["unknown", "done"]
    assert stream.put([mail(1, name="a:INBOX:1:4"), mail(3, name=name)], Cursor(1, 9)).new == 1
    assert_invariants(stream.client, workers_live=True)


def test_books_that_were_deleted_by_hand_are_written_again(stream: Stream) -> None:
    stream.append(*range(5))
    lanes = stream.lanes("n:1")
    entries = stream.read(lanes)
    settlement = Settlement()
    settlement.delayed.append(Delayed(entries[0], "id0", 60, "x"))
    settlement.dead.append(Dead(entries[1], "id1", "rejected", "Reject", "no"))
    stream.settle(lanes, settlement)
    before = stream.ledger.waiting()
    keys = stream.arguments.keys
    stream.client.delete(keys.queued, keys.delayed, keys.bytes)
    forgotten, taken_in, _ = stream.ledger.reconcile()
    assert (forgotten, taken_in) == (0, 6)
    assert stream.ledger.waiting() == before
    assert stream.ledger.promote() == 1
    assert stream.states(*range(5)) == ["queued"] * 5
    assert_invariants(stream.client, workers_live=True)


def test_a_retry_whose_body_was_deleted_is_fetched_again(stream: Stream) -> None:
    stream.append(1)
    lanes = stream.lanes("n:1")
    settlement = Settlement()
    settlement.delayed.append(Delayed(stream.read(lanes)[0], "id1", 60, "x"))
    stream.settle(lanes, settlement)
    stream.client.delete(stream.arguments.keys.delayed_body)
    assert stream.ledger.reconcile()[0] == 1
    assert stream.states(1) == ["unknown"]
    assert_invariants(stream.client)


def test_books_that_agree_are_left_alone(stream: Stream) -> None:
    stream.append(*range(3))
    assert stream.ledger.census().agrees
    assert stream.ledger.reconcile() == (0, 0, [])
    assert stream.states(0, 1, 2) == ["queued"] * 3
