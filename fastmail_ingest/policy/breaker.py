"""When calls of something that fails are let through: the circuit breaker as a pure state machine.

A dependency that is down fails every call, slowly; calling it on keeps it down and burns what is called for.
So failures in a row open the circuit, and one call at a time, a probe, finds out when to close it.

    state      what happens                              then
    CLOSED     a call is asked for                       it is let through
    CLOSED     a call succeeded                          the failures in a row begin at 0 again
    CLOSED     a call failed, fewer than `failures`      one failure more
    CLOSED     a call failed, the `failures`-th          OPEN
    OPEN       a call is asked for, before `recovery_s`  it is refused
    OPEN       a call is asked for, after `recovery_s`   HALF_OPEN, and it is let through as the probe
    HALF_OPEN  a call is asked for, a probe is out       it is refused
    HALF_OPEN  a call is asked for, no probe is out      it is let through as the probe
    HALF_OPEN  the probe succeeded                       one success more; CLOSED with the `successes`-th
    HALF_OPEN  the probe failed                          OPEN
    HALF_OPEN  the probe came to nothing (withdrawn)     another may go
    HALF_OPEN  the probe is silent for `probe_s`         another may go, and its answer counts no more

An answer counts only in the `epoch` in which its call was let through, and each change of state begins a new
one. So a call from before the circuit opened, that fails or succeeds late, is not taken for a probe's answer.

A clock that went backwards would make an open circuit wait for the old time to come again: what lies in the
future is taken to have happened now, so no wait is longer than `recovery_s` by any clock.
"""

from enum import IntEnum

from msgspec import Struct
from msgspec.structs import replace

# A refused call has no way to know when the probe will be back.
LOOK_AGAIN_S = 1.0


class State(IntEnum):
    """Of a circuit, as its gauge shows it."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class BreakerPolicy(Struct, frozen=True):
    """`failures` in a row open; after `recovery_s` seconds a probe may go; `successes` of probes close."""

    failures: int
    recovery_s: float
    successes: int
    probe_s: float = 300.0  # whoever took a probe and is silent for so long has died or forgotten it


class Circuit(Struct, frozen=True):
    """Where a circuit stands. `since` and `probe_since` are times of the clock that `now` comes from."""

    state: State = State.CLOSED
    since: float = 0.0
    failures: int = 0
    successes: int = 0
    probe_since: float | None = None  # None: no probe is out
    epoch: int = 0


class Asked(Struct, frozen=True):
    """The circuit after a call was asked for, and whether it is let through."""

    circuit: Circuit
    allowed: bool


def ask(policy: BreakerPolicy, circuit: Circuit, now: float) -> Asked:
    """Ask for a call; if it is let through, its answer belongs to the epoch of the circuit returned."""
    if circuit.state is State.CLOSED:
        return Asked(circuit, True)
    circuit = _not_in_the_future(circuit, now)
    if circuit.state is State.OPEN:
        if now - circuit.since < policy.recovery_s:
            return Asked(circuit, False)
        return Asked(replace(_changed(circuit, State.HALF_OPEN, now), probe_since=now), True)
    if circuit.probe_since is None:
        return Asked(replace(circuit, probe_since=now), True)
    if now - circuit.probe_since < policy.probe_s:
        return Asked(circuit, False)
    return Asked(replace(circuit, probe_since=now, epoch=circuit.epoch + 1), True)


def succeeded(policy: BreakerPolicy, circuit: Circuit, epoch: int, now: float) -> Circuit:
    """The circuit after a call that was let through in `epoch` succeeded."""
    if epoch != circuit.epoch or circuit.state is State.OPEN:
        return circuit
    if circuit.state is State.CLOSED:
        return replace(circuit, failures=0) if circuit.failures else circuit
    if circuit.successes + 1 >= policy.successes:
        return _changed(circuit, State.CLOSED, now)
    return replace(circuit, successes=circuit.successes + 1, probe_since=None)


def failed(policy: BreakerPolicy, circuit: Circuit, epoch: int, now: float) -> Circuit:
    """The circuit after a call that was let through in `epoch` failed."""
    if epoch != circuit.epoch or circuit.state is State.OPEN:
        return circuit
    if circuit.state is State.CLOSED and circuit.failures + 1 < policy.failures:
        return replace(circuit, failures=circuit.failures + 1)
    return _changed(circuit, State.OPEN, now)


def withdrawn(circuit: Circuit, epoch: int) -> Circuit:
    """The circuit after a call that was let through in `epoch` neither succeeded nor failed."""
    return replace(circuit, probe_since=None) if epoch == circuit.epoch else circuit


def retry_in_s(policy: BreakerPolicy, circuit: Circuit, now: float) -> float:
    """Seconds until it is worth asking again; 0 if a call would be let through now."""
    if ask(policy, circuit, now).allowed:
        return 0.0
    if circuit.state is State.HALF_OPEN:
        return LOOK_AGAIN_S
    return policy.recovery_s - (now - _not_in_the_future(circuit, now).since)


def _changed(circuit: Circuit, state: State, now: float) -> Circuit:
    return Circuit(state=state, since=now, epoch=circuit.epoch + 1)


def _not_in_the_future(circuit: Circuit, now: float) -> Circuit:
    probe_since = circuit.probe_since
    if circuit.since <= now and (probe_since is None or probe_since <= now):
        return circuit
    earlier = None if probe_since is None else min(probe_since, now)
    return replace(circuit, since=min(circuit.since, now), probe_since=earlier)
