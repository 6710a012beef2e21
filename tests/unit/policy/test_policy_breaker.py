"""The circuit breaker's state machine: its table row by row, and what holds for any interleaving."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fastmail_ingest.policy import breaker
from fastmail_ingest.policy.breaker import LOOK_AGAIN_S, BreakerPolicy, Circuit, State

POLICY = BreakerPolicy(failures=3, recovery_s=10.0, successes=2, probe_s=60.0)
CLOSED = Circuit()
OPEN = Circuit(State.OPEN, since=100.0, epoch=1)
HALF_OPEN = Circuit(State.HALF_OPEN, since=110.0, epoch=2)
PROBING = replace(HALF_OPEN, probe_since=110.0)


@pytest.mark.parametrize(
    ("circuit", "now", "allowed", "then"),
    [
        (CLOSED, 50.0, True, CLOSED),
        (OPEN, 109.9, False, OPEN),
        (OPEN, 110.0, True, PROBING),
        (PROBING, 120.0, False, PROBING),
        (HALF_OPEN, 120.0, True, replace(HALF_OPEN, probe_since=120.0)),
        (PROBING, 170.0, True, replace(HALF_OPEN, probe_since=170.0, epoch=3)),
    ],
)
def test_asking(circuit: Circuit, now: float, allowed: bool, then: Circuit) -> None:
    asked = breaker.ask(POLICY, circuit, now)
    assert (asked.allowed, asked.circuit) == (allowed, then)
    assert (breaker.retry_in_s(POLICY, circuit, now) == 0) == allowed


def test_only_failures_in_a_row_open() -> None:
    circuit = CLOSED
    for answer in (breaker.failed, breaker.failed, breaker.succeeded, breaker.failed, breaker.failed):
        circuit = answer(POLICY, circuit, 0, 50.0)
        assert circuit.state is State.CLOSED
    assert breaker.failed(POLICY, circuit, 0, 50.0) == Circuit(State.OPEN, since=50.0, epoch=1)


def test_so_many_probes_close() -> None:
    once = breaker.succeeded(POLICY, PROBING, 2, 111.0)
    assert once == replace(HALF_OPEN, successes=1)
    again = breaker.ask(POLICY, once, 112.0).circuit
    assert breaker.succeeded(POLICY, again, 2, 113.0) == Circuit(State.CLOSED, since=113.0, epoch=3)


def test_a_failed_probe_opens_for_the_whole_recovery() -> None:
    circuit = breaker.failed(POLICY, PROBING, 2, 115.0)
    assert (circuit.state, breaker.retry_in_s(POLICY, circuit, 115.0)) == (State.OPEN, 10.0)


def test_a_withdrawn_probe_makes_room_for_another() -> None:
    assert breaker.withdrawn(PROBING, 2) == HALF_OPEN
    assert breaker.withdrawn(PROBING, 1) == PROBING
    assert breaker.withdrawn(CLOSED, 0) == CLOSED


@pytest.mark.parametrize("circuit", [OPEN, PROBING, replace(CLOSED, epoch=3)])
def test_a_late_answer_counts_for_nothing(circuit: Circuit) -> None:
    for answer in (breaker.succeeded, breaker.failed):
        assert answer(POLICY, circuit, 0, 111.0) == circuit


def test_who_was_refused_for_a_probe_looks_again_soon() -> None:
    assert breaker.retry_in_s(POLICY, PROBING, 111.0) == LOOK_AGAIN_S


@pytest.mark.parametrize("now", [0.0, 99.0, -1e9])
def test_a_clock_that_went_backwards_makes_nobody_wait_longer(now: float) -> None:
    assert breaker.retry_in_s(POLICY, OPEN, now) == 10.0
    refused = breaker.ask(POLICY, OPEN, now)
    assert not refused.allowed
    assert breaker.ask(POLICY, refused.circuit, now + 10.0).allowed
    waiting = breaker.ask(POLICY, PROBING, now).circuit
    assert breaker.ask(POLICY, waiting, now + 60.0).allowed


class World:
    """A circuit, the calls that were let through and not answered yet, and what was seen on the way."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.circuit = Circuit()
        self.now = 0.0
        self.out: list[int] = []

    def ask(self) -> None:
        before = self.circuit
        asked = breaker.ask(self.policy, before, self.now)
        self.circuit = asked.circuit
        waited = self.now - before.since
        if before.state is State.OPEN and waited < self.policy.recovery_s:
            assert not asked.allowed
        if before.state is State.OPEN and waited >= self.policy.recovery_s:
            assert asked.allowed
        if before.state is State.CLOSED:
            assert asked.allowed
        if asked.allowed:
            self.out.append(asked.circuit.epoch)

    def answer(self, which: int, how: Callable[[int], Circuit]) -> None:
        if not self.out:
            return
        epoch = self.out.pop(which % len(self.out))
        before, self.circuit = self.circuit, how(epoch)
        if epoch != before.epoch:
            assert self.circuit == before

    def check(self, before: Circuit) -> None:
        circuit, policy = self.circuit, self.policy
        assert 0 <= circuit.failures < policy.failures
        assert 0 <= circuit.successes < policy.successes
        assert circuit.epoch >= before.epoch
        assert circuit.state is before.state or circuit.epoch == before.epoch + 1
        assert circuit.state is State.HALF_OPEN or (circuit.successes, circuit.probe_since) == (0, None)
        assert circuit.state is State.CLOSED or circuit.failures == 0
        assert (before.state, circuit.state) not in {
            (State.CLOSED, State.HALF_OPEN),
            (State.OPEN, State.CLOSED),
        }
        if circuit.state is State.HALF_OPEN:  # one probe at a time, and only probes may answer
            assert self.out.count(circuit.epoch) == (circuit.probe_since is not None)
        wait_s = breaker.retry_in_s(policy, circuit, self.now)
        assert 0 <= wait_s <= max(policy.recovery_s, LOOK_AGAIN_S)


policies = st.builds(
    BreakerPolicy,
    failures=st.integers(1, 5),
    recovery_s=st.floats(0.05, 100),
    successes=st.integers(1, 4),
    probe_s=st.floats(1, 500),
)
steps = st.tuples(
    st.sampled_from(["ask", "succeed", "fail", "withdraw", "tick", "tick", "ask"]),
    st.integers(0, 50),
    # Also backwards: a clock may be set.
    st.sampled_from([0.0, 0.05, 1.0, 10.0, 100.0, 500.0, -1.0, -100.0]),
)


@given(policies, st.lists(steps, max_size=60))
def test_any_interleaving_keeps_the_invariants(
    policy: BreakerPolicy, path: list[tuple[str, int, float]]
) -> None:
    world = World(policy)
    for what, which, seconds in path:
        before = world.circuit
        if what == "ask":
            world.ask()
        elif what == "succeed":
            world.answer(which, lambda epoch: breaker.succeeded(policy, world.circuit, epoch, world.now))
        elif what == "fail":
            world.answer(which, lambda epoch: breaker.failed(policy, world.circuit, epoch, world.now))
        elif what == "withdraw":
            world.answer(which, lambda epoch: breaker.withdrawn(world.circuit, epoch))
        else:
            world.now += seconds
        world.check(before)


@given(policies, st.lists(steps, max_size=40))
def test_it_always_finds_back(policy: BreakerPolicy, path: list[tuple[str, int, float]]) -> None:
    """Whatever happened: as soon as calls succeed it is closed after `successes` of them."""
    world = World(policy)
    for what, which, seconds in path:
        if what == "ask":
            world.ask()
        elif what == "fail":
            world.answer(which, lambda epoch: breaker.failed(policy, world.circuit, epoch, world.now))
        else:
            world.now += abs(seconds)
    world.now += policy.recovery_s + policy.probe_s + 1.0  # + 1: what rounding may have lost
    for _ in range(policy.successes):
        asked = breaker.ask(policy, world.circuit, world.now)
        assert asked.allowed
        world.circuit = breaker.succeeded(policy, asked.circuit, asked.circuit.epoch, world.now)
    assert world.circuit.state is State.CLOSED
