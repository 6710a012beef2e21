"""The schedule of faults: seeded, armed, and quiet when told so."""

import threading
from collections import Counter

import pytest

from fastmail_ingest.simulator import Fault, Faults
from fastmail_ingest.simulator.faults import VARIANTS, Strike

ALL = frozenset(Fault)


def test_without_rate_and_arms_nothing_strikes() -> None:
    faults = Faults()
    assert [faults.strike(ALL) for _ in range(1000)] == [None] * 1000
    assert not faults.struck


def test_the_same_seed_strikes_the_same() -> None:
    def run(seed: int) -> list[Strike | None]:
        faults = Faults(seed, 0.3)
        return [faults.strike(ALL) for _ in range(300)]

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_chance_keeps_the_rate_and_chooses_each_kind_and_variant() -> None:
    faults = Faults(1, 0.5)
    strikes = [faults.strike(ALL) for _ in range(4000)]
    struck = [strike for strike in strikes if strike is not None]
    assert 1800 < len(struck) < 2200
    assert Counter(strike.fault for strike in struck) == faults.struck
    seen = {(strike.fault, strike.variant) for strike in struck}
    assert seen == {(fault, variant) for fault in Fault for variant in VARIANTS.get(fault, ("",))}


def test_chance_chooses_only_what_is_wanted_and_fits() -> None:
    faults = Faults(1, 1.0, [Fault.BYE, Fault.SPLIT])
    assert faults.strike({Fault.SPLIT, Fault.HALF_OPEN}) == Strike(Fault.SPLIT)
    assert faults.strike({Fault.HALF_OPEN}) is None


def test_an_armed_fault_waits_for_its_occasion_and_strikes_as_often_as_told() -> None:
    faults = Faults()
    faults.arm(Fault.STUCK_IDLE, 2)
    faults.arm(Fault.BYE)
    assert faults.strike({Fault.HALF_OPEN}) is None
    assert faults.strike({Fault.BYE}) == Strike(Fault.BYE)
    assert faults.armed == 2
    assert [faults.strike(ALL) for _ in range(3)] == [
        Strike(Fault.STUCK_IDLE),
        Strike(Fault.STUCK_IDLE),
        None,
    ]
    assert faults.struck == {Fault.BYE: 1, Fault.STUCK_IDLE: 2}


def test_a_variant_can_be_chosen_and_must_exist() -> None:
    faults = Faults()
    for fault, variants in VARIANTS.items():
        for variant in variants:
            faults.arm(fault, variant=variant)
            assert faults.strike({fault}) == Strike(fault, variant)
    with pytest.raises(ValueError, match="BYE has no variant"):
        faults.arm(Fault.BYE, variant="loud")


def test_an_armed_fault_can_let_some_occasions_pass() -> None:
    faults = Faults()
    faults.arm(Fault.BYE, 2, after=2)
    assert [faults.strike(ALL) is not None for _ in range(5)] == [False, False, True, True, False]
    faults.arm(Fault.BYE, after=1)
    assert [faults.strike({fault}) for fault in (Fault.SPLIT, Fault.BYE, Fault.BYE)] == [
        None,
        None,
        Strike(Fault.BYE),
    ]


def test_quiet_ends_all() -> None:
    faults = Faults(1, 1.0)
    faults.arm(Fault.BYE, 3)
    assert faults.strike(ALL) is not None
    faults.quiet()
    assert faults.armed == 0
    assert faults.strike(ALL) is None
    assert faults.struck.total() == 1


def test_no_arm_is_lost_between_threads() -> None:
    faults = Faults()
    threads = [threading.Thread(target=lambda: [faults.arm(Fault.BYE) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        faults.strike({Fault.BYE})
    for thread in threads:
        thread.join()
    assert faults.struck[Fault.BYE] + faults.armed == 2000
