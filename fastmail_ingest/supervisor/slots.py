"""What supervisor and children know of each other, in memory that all of them share.

Each child has a slot: its state, counters, and the work in its hands right now. A slot outlives its
process, so that whoever clears up after a death can read what the dead one was doing.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from fastmail_ingest.supervisor.board import Board

COUNTERS = 32
MESSAGE_MAX_BYTES = 1022
TOKEN_MAX_BYTES = 46

# Numbers are written in native form at multiples of 8: one store each, so that no reader in another
# process ever sees half of one. (The standard sizes of `struct`, with "=", are written byte by byte.)
# Stages that have finished by themselves, then the counters of all children whose slot was used again.
_TABLE_HEAD = struct.Struct(f"@{1 + COUNTERS}Q")
_SLOT_HEAD = struct.Struct(
    "@iBBBxIId"
)  # pid, state, hung, finished, role, generation, start time (time.monotonic())
_CELL = struct.Struct("@dBB46s")  # since (time.monotonic(), 0 = empty), kind, length, token
_COUNTER = struct.Struct("@Q")
_MESSAGE = struct.Struct(f"@H{MESSAGE_MAX_BYTES}s")

_COUNTERS_AT = _SLOT_HEAD.size
_MESSAGE_AT = _COUNTERS_AT + COUNTERS * _COUNTER.size
_CELLS_AT = _MESSAGE_AT + _MESSAGE.size
_STATE_AT = 4
_HUNG_AT = 5
_FINISHED_AT = 6


class State(IntEnum):
    """What a slot is for at the moment."""

    FREE = 0
    STARTING = 1
    READY = 2
    DEAD = 3  # its process is gone, somebody still has to clear up after it


class Held(NamedTuple):
    """A piece of work that a child has in hand."""

    since: float  # time.monotonic()
    kind: int  # the caller's own number, 0 to 255
    token: bytes  # the caller's own name for it


class Slot:
    """One child's part of the table. Written by the child, except where the supervisor owns a field."""

    def __init__(self, table: "SlotTable", index: int) -> None:
        self.index = index
        self._table = table
        self._memory = table.memory
        self._at = table.offset(index)
        self.cells = table.cells

    def claim(self, role: int, generation: int, now: float) -> None:
        """Make the slot a new child's, all fields empty; what was counted in it stays in the totals."""
        for counter in range(COUNTERS):
            self._table.retire(counter, self.get(counter))
        size = _CELLS_AT + self.cells * _CELL.size
        self._memory[self._at : self._at + size] = bytes(size)
        _SLOT_HEAD.pack_into(self._memory, self._at, 0, State.STARTING, 0, 0, role, generation, now)

    def _head(self) -> tuple[int, int, int, int, int, int, float]:
        return _SLOT_HEAD.unpack_from(self._memory, self._at)

    @property
    def pid(self) -> int:
        """The process id, 0 before the fork."""
        return self._head()[0]

    @pid.setter
    def pid(self, pid: int) -> None:
        struct.pack_into("@i", self._memory, self._at, pid)

    @property
    def state(self) -> State:
        """What the slot is for at the moment."""
        return State(self._memory[self._at + _STATE_AT])

    @state.setter
    def state(self, state: State) -> None:
        self._memory[self._at + _STATE_AT] = state

    @property
    def role(self) -> int:
        """The number of the role that this child plays."""
        return self._head()[4]

    @property
    def generation(self) -> int:
        """Counts all children of the supervisor: no two of them share it."""
        return self._head()[5]

    @property
    def started_at(self) -> float:
        """When it was forked, time.monotonic()."""
        return self._head()[6]

    @property
    def hung(self) -> bool:
        """Whether it was killed because one piece of work took too long."""
        return bool(self._memory[self._at + _HUNG_AT])

    @hung.setter
    def hung(self, hung: bool) -> None:
        self._memory[self._at + _HUNG_AT] = hung

    @property
    def finished(self) -> bool:
        """Whether its work came to its own end: `run` returned, nobody left the process by another way."""
        return bool(self._memory[self._at + _FINISHED_AT])

    @finished.setter
    def finished(self, finished: bool) -> None:
        self._memory[self._at + _FINISHED_AT] = finished

    def ready(self) -> None:
        """Say that this child has started and does its work."""
        self.state = State.READY

    # --- counters: the caller's own numbers --------------------------------------------------------

    def get(self, counter: int) -> int:
        """Read a counter."""
        value: int = _COUNTER.unpack_from(self._memory, self._at + _COUNTERS_AT + counter * _COUNTER.size)[0]
        return value

    def put(self, counter: int, value: int) -> None:
        """Set a counter."""
        _COUNTER.pack_into(self._memory, self._at + _COUNTERS_AT + counter * _COUNTER.size, value)

    def add(self, counter: int, value: int = 1) -> None:
        """Raise a counter; only its child may, there is no lock."""
        self.put(counter, self.get(counter) + value)

    # --- last words --------------------------------------------------------------------------------

    @property
    def message(self) -> str:
        """Why the child ended, in its own words; empty if it said nothing."""
        length, text = _MESSAGE.unpack_from(self._memory, self._at + _MESSAGE_AT)
        return str(text[:length], "utf-8", "replace")

    @message.setter
    def message(self, message: str) -> None:
        text = message.encode("utf-8", "replace")[:MESSAGE_MAX_BYTES]
        _MESSAGE.pack_into(self._memory, self._at + _MESSAGE_AT, len(text), text)

    # --- work in hand ------------------------------------------------------------------------------

    def hold(self, cell: int, since: float, kind: int, token: bytes) -> None:
        """Note that this piece of work is in hand now."""
        _CELL.pack_into(
            self._memory, self._at + _CELLS_AT + cell * _CELL.size, since, kind, len(token), token
        )

    def release(self, cell: int) -> None:
        """Note that the work in this cell is finished."""
        struct.pack_into("@d", self._memory, self._at + _CELLS_AT + cell * _CELL.size, 0.0)

    def release_all(self) -> None:
        """Empty all cells."""
        for cell in range(self.cells):
            self.release(cell)

    def held(self) -> list[Held]:
        """All pieces of work in hand, or in hand when the process died."""
        found: list[Held] = []
        for cell in range(self.cells):
            since, kind, length, token = _CELL.unpack_from(
                self._memory, self._at + _CELLS_AT + cell * _CELL.size
            )
            if since:
                found.append(Held(since, kind, token[:length]))
        return found


class SlotTable:
    """All slots, in anonymous memory that forked children share, and a bell to wake who clears up."""

    def __init__(self, count: int, cells: int) -> None:
        self.count = count
        self.cells = cells
        self.memory = mmap.mmap(-1, _TABLE_HEAD.size + count * self._slot_size)
        self.board = Board()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def _slot_size(self) -> int:
        return _CELLS_AT + self.cells * _CELL.size

    def offset(self, index: int) -> int:
        """Where a slot begins."""
        return _TABLE_HEAD.size + index * self._slot_size

    def slot(self, index: int) -> Slot:
        """The slot of this number."""
        return Slot(self, index)

    def __iter__(self) -> Iterator[Slot]:
        return (Slot(self, index) for index in range(self.count))

    def free(self) -> Slot | None:
        """A slot that nobody uses, None if there is none."""
        return next((slot for slot in self if slot.state is State.FREE), None)

    def living(self) -> set[int]:
        """The generations of all children that are alive, or are being forked just now."""
        return {slot.generation for slot in self if slot.state in (State.STARTING, State.READY)}

    def total(self, counter: int) -> int:
        """The sum of a counter over all children there ever were."""
        retired: int = _COUNTER.unpack_from(self.memory, (1 + counter) * _COUNTER.size)[0]
        return retired + sum(slot.get(counter) for slot in self)

    def retire(self, counter: int, value: int) -> None:
        """Keep what a child counted when its slot goes to another."""
        at = (1 + counter) * _COUNTER.size
        _COUNTER.pack_into(self.memory, at, _COUNTER.unpack_from(self.memory, at)[0] + value)

    @property
    def finished_stages(self) -> int:
        """How many stages, counted from the first, have finished their work (see `Role.finite`)."""
        value: int = _COUNTER.unpack_from(self.memory, 0)[0]
        return value

    @finished_stages.setter
    def finished_stages(self, count: int) -> None:
        _COUNTER.pack_into(self.memory, 0, count)

    def ring(self) -> None:
        """Wake whoever waits for deaths to clear up after."""
        os.eventfd_write(self.bell, 1)

    def hush(self) -> None:
        """Take the bell's ringing away, so that the next one is heard."""
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            return
