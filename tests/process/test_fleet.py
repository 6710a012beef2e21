"""The supervisor without mail: signals to children that have hardly begun."""

import signal
import time

from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.supervisor.fleet import Fleet
from fastmail_ingest.supervisor.role import Child, Role
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.supervisor.wakeups import Wakeups

ROUNDS = 100


def wait_to_be_stopped(child: Child) -> int:
    time.sleep(60)
    return 0


def test_a_signal_to_a_newborn_child_is_its_own() -> None:
    role = Role("r", 0, wait_to_be_stopped, RestartPolicy(1.0, 3, 60.0))
    with Wakeups() as wakeups:
        fleet = Fleet([role], SlotTable(2, 1), wakeups)
        for _ in range(ROUNDS):
            fleet.start(role, 0, time.monotonic())
            (process,) = fleet
            fleet.ask_to_stop(process)
            heard: list[int] = []
            while len(fleet):
                heard += wakeups.wait(10.0)
                for _, code, _ in fleet.reap():
                    process.slot.state = type(process.slot.state).FREE
                    assert code == -signal.SIGTERM
            assert heard == []
        fleet.close()
