"""Consumers, groups, cursors and letters of other programs, and what hands take away: nothing gets stuck."""

from collections.abc import Iterable, Iterator
from unittest.mock import Mock

import pytest
from support.invariants import assert_invariants
from support.one_stream import INBOX, Stream
from support.redis_server import RedisServer
from support.stream_world import mail_at
from support.waiting import wait_until

from fastmail_ingest.app.node import surely_gone
from fastmail_ingest.app.worker_role import node_of
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Settlement
from fastmail_ingest.model.mailbox import Cursor
from fastmail_ingest.pipeline.maintenance import DeadWorker, Entries, Maintenance
from fastmail_ingest.stream.keys import GROUP
from fastmail_ingest.stream.scripts import source


@pytest.fixture
def stream(server: RedisServer) -> Iterator[Stream]:
    made = Stream(server)
    yield made
    made.close()


# --- consumers and groups of others -----------------------------------------------------------------

STRANGE = [
    b"intruder",
    b"\xff\xfe",
    b"",
    b":",
    b"a:b:c",
    b"n:",
    b" ",
    b"x" * 2000,
    "ä:1".encode(),
    b"-\r\n:1",
]


def take_with_strange_names(stream: Stream) -> None:
    for number, name in enumerate(STRANGE):
        stream.append(mail_at(INBOX, 1, number + 1), last_uid=number + 1)
        stream.client.xreadgroup(GROUP, name, {stream.live: ">"}, count=1)


def test_what_consumers_with_strange_names_hold_can_be_put_back(stream: Stream) -> None:
    take_with_strange_names(stream)
    names = stream.ledger.consumers() - {"n:1"}
    assert len(names) == len(STRANGE)
    moved = [stream.ledger.put_back(name, Ending(lease_of=name.rpartition(":")[0])) for name in sorted(names)]
    assert moved == [(1, 0)] * len(STRANGE)
    assert_invariants(stream.client)


class Nobody:
    """A household without workers."""

    node_id = "n"

    def dead_workers(self) -> Iterable[DeadWorker]:
        return ()

    def in_hand(self) -> Iterable[tuple[str, Entries]]:
        return ()

    def living_consumers(self) -> set[str]:
        return set()

    def node_of(self, consumer: str) -> str:
        return node_of(consumer)

    def surely_gone(self, node_id: str) -> bool:
        return surely_gone(node_id)


def test_maintenance_takes_over_from_strangers(stream: Stream) -> None:
    take_with_strange_names(stream)
    maintenance = Maintenance(stream.ledger, Nobody(), Mock(), lease_s=0.005, deaths_max=3)

    def taken_over() -> bool:
        maintenance.round(float("inf"))
        return stream.client.xpending(stream.live, GROUP)["pending"] == 0

    wait_until(taken_over, "nothing is in a stranger's hand")
    assert [entry.attempt for entry in stream.read()] == [2] * len(STRANGE)
    assert_invariants(stream.client, workers_live=True)


@pytest.mark.parametrize("deed", ["xack", "delconsumer", "setid", "noack"])
def test_what_a_hand_took_from_everybody_comes_back(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    monkeypatch.setattr("fastmail_ingest.stream.ledger.REGROUP_GRACE_MS", 0)
    stream.append(*(mail_at(INBOX, 1, uid) for uid in (1, 2, 3)), last_uid=3)
    if deed == "setid":
        stream.client.xgroup_setid(stream.live, GROUP, "$")
    elif deed == "noack":
        stream.client.xreadgroup(GROUP, "intruder", {stream.live: ">"}, noack=True)
    else:
        entries = stream.read()
        if deed == "xack":
            stream.client.xack(stream.live, GROUP, *(entry.id for entry in entries))
        else:
            stream.client.xgroup_delconsumer(stream.live, GROUP, "n:1")
    assert stream.read() == []
    assert stream.ledger.regroup() == (0, False)
    assert stream.ledger.regroup()[0] == 3
    assert [entry.attempt for entry in stream.read()] == [2, 2, 2]
    assert_invariants(stream.client, workers_live=True)


def test_a_group_of_others_on_our_lanes_is_none_of_our_business(stream: Stream) -> None:
    stream.client.xgroup_create(stream.live, "aaa", "0")
    stream.client.xgroup_create(stream.live, "zzz", "$")
    stream.append(mail_at(INBOX, 1, 1))
    assert stream.client.xreadgroup("aaa", "x", {stream.live: ">"})
    assert stream.ledger.unread()
    assert stream.ledger.make_groups() == 0
    assert stream.ledger.regroup() == (0, True)
    assert len(stream.open_all()) == 1
    assert not stream.ledger.unread()
    assert_invariants(stream.client)


def test_a_group_that_was_removed_while_the_note_of_it_was_gone_is_noticed(stream: Stream) -> None:
    stream.append(mail_at(INBOX, 1, 1))
    (entry,) = stream.read()
    stream.client.delete(stream.keys.groups)
    stream.ledger.make_groups()
    stream.client.xgroup_destroy(stream.live, GROUP)
    assert stream.ledger.make_groups() == 1
    assert stream.read() == []
    settlement = Settlement()
    settlement.add_done(entry, mail_at(INBOX, 1, 1).identity, 0.0)
    assert stream.settle(settlement) == 0


def test_removed_groups_and_lanes_make_no_call_of_maintenance_fail(stream: Stream) -> None:
    stream.append(mail_at(INBOX, 1, 1))
    (entry,) = stream.read()
    for remove in (
        lambda: stream.client.xgroup_destroy(stream.live, GROUP),
        lambda: stream.client.delete(*stream.keys.lanes.values()),
    ):
        remove()
        stream.ledger.claim("n:1", [(entry.lane, entry.id)])
        assert stream.ledger.consumers() <= {"n:1"}
        stream.ledger.make_groups()


def test_cursors_that_are_none_of_ours_do_not_keep_the_books_from_being_mended(stream: Stream) -> None:
    stream.append(mail_at(INBOX, 1, 1))
    stream.client.set(f"{stream.keys.cursors}a:string", "x")
    stream.client.hset(f"{stream.keys.cursors}a:".encode() + b"\xff", "last_uid", "x")
    stream.client.hset(f"{stream.keys.cursors}a:hash", "by", "hand")
    stream.client.delete(stream.live)
    stream.ledger.make_groups()
    assert stream.ledger.reconcile()[0] == 1
    assert stream.ledger.cursor(INBOX) == Cursor(1, 0)


def test_a_foreign_dead_letter_does_not_keep_the_books_from_agreeing(stream: Stream) -> None:
    stream.client.xadd(stream.keys.dead, {"by": "hand"})
    stream.ledger.reconcile()
    assert stream.ledger.census().agrees
    ((letter, _),) = stream.client.xrange(stream.keys.dead)
    call = stream.arguments.replay([letter])
    assert stream.client.register_script(source("replay"))(call.keys, call.args) == 0
    call = stream.arguments.discard([letter])
    assert stream.client.register_script(source("discard"))(call.keys, call.args) == 1
    assert stream.ledger.census() == (0, 0, 0, 0, 0)


def test_a_drifted_count_of_bytes_does_not_outlive_what_waits(stream: Stream) -> None:
    stream.append(mail_at(INBOX, 1, 1))
    stream.client.incrby(stream.keys.bytes, 10**9)
    stream.open_all()
    assert stream.ledger.waiting() == (0, 0)
