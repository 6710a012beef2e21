"""What a child is to do, as data."""

from collections.abc import Callable
from dataclasses import dataclass

from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.supervisor.slots import Slot, SlotTable

# A child that ends so has worn out by design (memory, age): its successor starts at once, nobody is to blame.
EXIT_WORN_OUT = 76


@dataclass(frozen=True)
class Child:
    """What a child is told about itself."""

    slot: Slot
    table: SlotTable
    number: int  # 0 to count - 1 within its role


@dataclass(frozen=True)
class Role:
    """A kind of child. `run` is called in the forked process and returns its exit code.

    Roles stop in the order of their `stage`, each stage after the one before is gone. Exit code 0 of
    a `finite` role says that its work is finished; in other roles any unasked end is a death.
    """

    name: str
    stage: int
    run: Callable[[Child], int]
    restart: RestartPolicy
    count: int = 1
    finite: bool = False
    cleared_up: bool = False  # a dead child's slot stays until somebody sets it FREE
    rolls: bool = False  # replaced one by one on HUP
    scales: bool = False  # TTIN and TTOU change how many there are
    progress: Callable[[], int] | None = None  # how much all its children have finished so far
    hang_after_s: Callable[[], float] | None = None  # kill a child that holds one piece of work for longer
    probe: Callable[[], bool] | None = None  # for a child that cannot call slot.ready() itself
    start_first: bool = False  # roles of earlier stages wait until it is ready
    optional: bool = False  # the others go on without it, however often it dies
