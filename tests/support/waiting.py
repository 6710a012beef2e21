"""Tests wait for facts: never for a time to pass."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 30.0
_LOOK_EVERY_S = 0.01


def wait_until(fact: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Return what `fact` gives as soon as it is true; fail with `what` if it never is."""
    end = time.monotonic() + deadline_s
    while not (value := fact()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s:.0f} s in vain: {what}")
        time.sleep(_LOOK_EVERY_S)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie (Z), or one that is just being removed (X), does not (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
