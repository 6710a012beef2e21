"""The name under which a process keeps its metrics: no two processes of one supervisor ever share it.

A process id will not do: it is given again, and counts of the dead would go on under a stranger's name.
"""

import os
import time
from collections.abc import Set

MAIN = "main"
_name = MAIN


def current() -> str:
    """This process' name: `main`, `g7` for a child, `g7.4711.123` for what a child of ours has forked."""
    return _name


def take(generation: int) -> None:
    """Say that this process is the child of this generation (see `supervisor.slots.Slot.generation`)."""
    global _name  # noqa: PLW0603 - a fact about the process
    _name = f"g{generation}"


def _note_fork() -> None:
    global _name  # noqa: PLW0603
    _name = f"{_name.partition('.')[0]}.{os.getpid()}.{time.monotonic_ns()}"


os.register_at_fork(after_in_child=_note_fork)


def is_dead(name: str, living: Set[int]) -> bool:
    """Whether the process of this name is gone; `living` are the generations of living children.

    A name of digits alone is a process id: prometheus_client itself names a process so that a handler starts
    with another interpreter.
    """
    if name == MAIN:
        return False
    if name.startswith("g") and name[1:].isdigit():
        return int(name[1:]) not in living
    pid = name if name.isdigit() else name.split(".")[1] if name.count(".") == 2 else ""
    return pid.isdigit() and not os.path.exists(f"/proc/{pid}")
