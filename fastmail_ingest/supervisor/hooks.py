"""What the supervisor asks of those who know what its children are for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """How far the supervisor is, as a whole."""

    STARTING = auto()  # not all children that there shall be were at work yet
    RUNNING = auto()  # they were, once; that some die and are replaced does not change it
    RELOADING = auto()  # children of the old generation are being replaced
    STOPPING = auto()


@dataclass(frozen=True)
class Hooks:
    """Called by the supervisor's loop, which waits for them: none may take long.

    `reload` is called on HUP; if it says True, children are rolled. `status` is called on USR1.
    `find_stuck(now)` names children that do nothing although they should, by pid, each with the reason.
    `pulse(phase)` is called in each round of the loop, at the least every `pulse_s` seconds.
    """

    reload: Callable[[], bool] = lambda: True
    status: Callable[[], None] = lambda: None
    find_stuck: Callable[[float], Iterable[tuple[int, str]]] = lambda _: ()
    pulse: Callable[[Phase], None] = lambda _: None
    pulse_s: float = 1.0
