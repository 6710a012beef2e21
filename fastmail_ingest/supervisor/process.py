"""A living child as its parent sees it."""

import signal
from dataclasses import dataclass

from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.slots import Slot


@dataclass
class Process:
    """A living child, as the supervisor sees it."""

    role: Role
    number: int
    slot: Slot
    pid: int
    pidfd: int
    started_at: float
    asked_to_stop: bool = False
    killed_for: str = ""


def how_it_ended(process: Process, code: int) -> str:
    """The end of a child in words; `code` is negative for a signal, as in os.waitstatus_to_exitcode."""
    if process.killed_for:
        return f"killed, {process.killed_for}"
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, {process.slot.message}" if process.slot.message else how
