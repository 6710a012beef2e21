"""What every child may know of the roles: how many there shall be, how often and of what they died.

The supervisor alone writes, but for what a reader has shown, in memory that all share; so it outlives whoever
reads it.
"""

import mmap
import struct
import time
from collections.abc import Iterator

ROLES_MAX = 32
NAME_MAX_BYTES = 32
WORDS_MAX_BYTES = 510

# Written in native form at multiples of 8: one store each, see slots.py.
_HEAD = struct.Struct("@dQ")  # start (time.monotonic()), 1 while draining
# wanted, started, deaths, time of the last death (time.monotonic()), CPU time of the ended and as shown, s
_NUMBERS = struct.Struct("@QQQddd")
_NAME = struct.Struct(f"@H{NAME_MAX_BYTES}s6x")
_WORDS = struct.Struct(f"@H{WORDS_MAX_BYTES}s")
_NAME_AT = _NUMBERS.size
_WORDS_AT = _NAME_AT + _NAME.size
_ROW_SIZE = _WORDS_AT + _WORDS.size
_WANTED_AT, _STARTED_AT, _DEATHS_AT, _DIED_AT, _SPENT_AT, _SHOWN_AT = 0, 8, 16, 24, 32, 40


class Row:
    """What is known of one role."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at

    def _number(self, at: int) -> int:
        value: int = struct.unpack_from("@Q", self._memory, self._at + at)[0]
        return value

    def _time(self, at: int) -> float:
        value: float = struct.unpack_from("@d", self._memory, self._at + at)[0]
        return value

    def _put(self, at: int, value: int) -> None:
        struct.pack_into("@Q", self._memory, self._at + at, value)

    @property
    def name(self) -> str:
        """The role's name; empty for a row that no role has."""
        length, text = _NAME.unpack_from(self._memory, self._at + _NAME_AT)
        return str(text[:length], "utf-8", "replace")

    @name.setter
    def name(self, name: str) -> None:
        text = name.encode()[:NAME_MAX_BYTES]
        _NAME.pack_into(self._memory, self._at + _NAME_AT, len(text), text)

    @property
    def wanted(self) -> int:
        """How many children there shall be."""
        return self._number(_WANTED_AT)

    @wanted.setter
    def wanted(self, count: int) -> None:
        self._put(_WANTED_AT, count)

    @property
    def started(self) -> int:
        """How many children there ever were."""
        return self._number(_STARTED_AT)

    def note_start(self) -> None:
        """A child was forked."""
        self._put(_STARTED_AT, self.started + 1)

    @property
    def deaths(self) -> int:
        """How many ended although nobody had asked them to."""
        return self._number(_DEATHS_AT)

    @property
    def died_at(self) -> float:
        """When the last of those ended, time.monotonic(); 0.0 if none did."""
        return self._time(_DIED_AT)

    @property
    def cpu_s(self) -> float:
        """CPU time that all those had used that have ended, s."""
        return self._time(_SPENT_AT)

    def note_cpu(self, seconds: float) -> None:
        """A child has ended, after so much CPU time."""
        struct.pack_into("@d", self._memory, self._at + _SPENT_AT, self.cpu_s + seconds)

    def show_cpu(self, seconds: float) -> float:
        """The CPU time to show, s: `seconds`, or what was shown before if that was more.

        For the one process that answers scrapers. A child that ends just now is for a moment neither alive
        nor among the ended, and whoever answered before may have been killed.
        """
        shown = max(seconds, self._time(_SHOWN_AT))
        struct.pack_into("@d", self._memory, self._at + _SHOWN_AT, shown)
        return shown

    @property
    def last_words(self) -> str:
        """How the last of those ended; what a child said of it is not to be trusted."""
        length, text = _WORDS.unpack_from(self._memory, self._at + _WORDS_AT)
        return str(text[:length], "utf-8", "replace")

    def note_death(self, how: str, now: float) -> None:
        """A child ended although nobody had asked it to; `now` is time.monotonic()."""
        text = how.encode("utf-8", "replace")[:WORDS_MAX_BYTES]
        _WORDS.pack_into(self._memory, self._at + _WORDS_AT, len(text), text)
        struct.pack_into("@d", self._memory, self._at + _DIED_AT, now)
        self._put(_DEATHS_AT, self.deaths + 1)


class Board:
    """A row for each role, by its number, and what holds for all of them."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + ROLES_MAX * _ROW_SIZE)
        _HEAD.pack_into(self._memory, 0, time.monotonic(), 0)

    @property
    def since(self) -> float:
        """When it was put up, time.monotonic(): the beginning of the supervisor."""
        value: float = _HEAD.unpack_from(self._memory, 0)[0]
        return value

    @property
    def draining(self) -> bool:
        """Whether the supervisor is stopping its children."""
        return bool(_HEAD.unpack_from(self._memory, 0)[1])

    def note_drain(self) -> None:
        """The children are being stopped."""
        struct.pack_into("@Q", self._memory, 8, 1)

    def row(self, role: int) -> Row:
        """What is known of the role with this number."""
        if not 0 <= role < ROLES_MAX:
            raise IndexError(f"{ROLES_MAX} roles at the most, got number {role}")
        return Row(self._memory, _HEAD.size + role * _ROW_SIZE)

    def __iter__(self) -> Iterator[Row]:
        """The rows of all roles that there are."""
        for number in range(ROLES_MAX):
            if (row := self.row(number)).name:
                yield row
