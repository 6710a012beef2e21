"""A living child, and a role with its past, as the supervisor sees them."""

import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from fastmail_ingest.supervisor.board import Row
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
    asked_at: float = 0.0
    killed_for: str = ""
    killed_by_deadline: bool = False
    was_ready: bool = False  # it was at work before it ended


def deaf(process: Process, now: float, patience_s: float) -> bool:
    """Whether a child was asked to stop long ago and has nothing in hand that keeps it."""
    return process.asked_to_stop and now - process.asked_at > patience_s and not process.slot.held()


DEATHS_REMEMBERED = 10_000  # the most that [supervisor] short_lives_max can be


@dataclass
class RoleState:
    """The past and the plan of a role."""

    wanted: int
    row: Row  # what everybody may know of it
    young_deaths: deque[float] = field(default_factory=lambda: deque(maxlen=DEATHS_REMEMBERED))
    strikes: deque[float] = field(default_factory=lambda: deque(maxlen=DEATHS_REMEMBERED))
    was_ready: bool = False  # some child of the role was at work before: it can start
    failed_starts: int = 0  # deaths in a row, each of a child that was not ready yet
    deadly: int = 0  # blamed deaths in a row between which the role finished nothing
    progress: int = 0  # what the role had finished at the last of them
    start_at: float = 0.0
    finished: set[int] = field(default_factory=set)  # numbers of children that ended their finite work

    @classmethod
    def of(cls, role: Role, row: Row) -> Self:
        """The state of a role at the beginning."""
        row.name, row.wanted = role.name, role.count
        return cls(role.count, row)

    def want(self, count: int) -> None:
        """From now on there shall be so many."""
        self.wanted = self.row.wanted = count


def how_it_ended(process: Process, code: int) -> str:
    """The end of a child in words; `code` is negative for a signal, as in os.waitstatus_to_exitcode."""
    if process.killed_for:
        return f"killed, {process.killed_for}"
    how = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
    return f"{how}, {process.slot.message}" if process.slot.message else how
