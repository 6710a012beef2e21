"""The diary of all calls of the handler: a file a process, a line an event.

A line goes out in one write(2) to a file opened with O_APPEND, into which nobody else writes: a `kill -9` of
the process loses nothing that was written before it.

    B|F|R <attempt> <time.monotonic()> <identity>        begun, finished, raised
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

BEGUN, FINISHED, RAISED = b"B", b"F", b"R"
_ENDED = "ended"
_NS = 1e9


class Diary:
    """Writes what the process that uses it does; opens a file of its own after each fork."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pid = 0
        self._descriptor = -1

    def note(self, kind: bytes, identity: str, attempt: int) -> None:
        """Write one event."""
        if self._pid != os.getpid():
            self._open()
        os.write(self._descriptor, line(kind, identity, attempt, time.monotonic()))

    def _open(self) -> None:
        self._pid = os.getpid()
        # The clock tells processes apart that got the same pid one after the other.
        name = f"{self._pid}-{os.getppid()}-{time.monotonic_ns()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._directory / name, flags, 0o600)


def line(kind: bytes, identity: str, attempt: int, now: float) -> bytes:
    """One event as it stands in the file."""
    return b"%s %d %.6f %s\n" % (kind, attempt, now, identity.encode())


class Life(msgspec.Struct):
    """What is known of one process from its file."""

    pid: int
    parent: int
    born: float  # time.monotonic() of its first call
    path: Path
    offset: int = 0
    open_calls: dict[bytes, float] = {}  # begun and not ended: identity -> when
    last_at: float = 0.0


class Call(msgspec.Struct):
    """One call of the handler for one mail."""

    identity: str
    attempt: int
    begun_at: float
    life: Life
    outcome: bytes = b""  # FINISHED, RAISED, or empty: it never ended
    ended_at: float = 0.0


class Records:
    """All diaries of a directory, read on while they grow."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ended = directory / _ENDED
        self._ended.mkdir(parents=True, exist_ok=True)
        self.lives: dict[str, Life] = {}
        self.begun: dict[bytes, int] = {}  # identity -> how often
        self.finished: dict[bytes, int] = {}

    @property
    def handled(self) -> int:
        """How many mails the handler has finished at least once."""
        return len(self.finished)

    def refresh(self) -> int:
        """Read what is new; returns how many events that was."""
        events = 0
        for name in os.listdir(self._directory):
            if name == _ENDED:
                continue
            life = self.lives.get(name) or self._meet(name)
            gone = not _alive(life.pid)  # asked before reading: what it wrote last must be read, too
            events += self._read_on(life)
            if gone:
                # Out of the way: hundreds of processes come and go in a long run.
                life.path = life.path.rename(self._ended / name)
        return events

    def _meet(self, name: str) -> Life:
        pid, parent, born = map(int, name.split("-"))
        life = Life(pid, parent, born / _NS, self._directory / name)
        self.lives[name] = life
        return life

    def _read_on(self, life: Life) -> int:
        with life.path.open("rb") as file:
            file.seek(life.offset)
            text = file.read()
        end = text.rfind(b"\n") + 1  # a line that a kill cut in two says nothing
        life.offset += end
        lines = text[:end].splitlines()
        for kind, _, at, identity in map(_parts, lines):
            if kind == BEGUN:
                self.begun[identity] = self.begun.get(identity, 0) + 1
                life.open_calls[identity] = float(at)
            else:
                life.open_calls.pop(identity, None)
                if kind == FINISHED:
                    self.finished[identity] = self.finished.get(identity, 0) + 1
        if lines:
            life.last_at = float(_parts(lines[-1])[2])
        return len(lines)

    def suspects(self) -> set[bytes]:
        """The mails whose story is not simply begun once, finished once."""
        odd = {identity for identity, count in self.begun.items() if count != 1}
        odd |= {identity for identity, count in self.finished.items() if count != 1}
        return odd | (self.begun.keys() ^ self.finished.keys())

    def calls(self, identities: set[bytes]) -> dict[str, list[Call]]:
        """All calls of these mails, of each in the order in which they began; `refresh` comes first."""
        stories: dict[str, list[Call]] = {}
        for life in self.lives.values():
            for call in _calls_of(life, identities):
                stories.setdefault(call.identity, []).append(call)
        for calls in stories.values():
            calls.sort(key=lambda call: call.begun_at)
        return stories


def _calls_of(life: Life, identities: set[bytes]) -> Iterator[Call]:
    running: dict[bytes, Call] = {}
    with life.path.open("rb") as file:
        for text in file:
            if not text.endswith(b"\n"):
                break
            kind, attempt, at, identity = _parts(text[:-1])
            if identity not in identities:
                continue
            if kind == BEGUN:
                running[identity] = Call(identity.decode(), int(attempt), float(at), life)
                yield running[identity]
            elif identity in running:
                call = running.pop(identity)
                call.outcome, call.ended_at = kind, float(at)


def _parts(text: bytes) -> list[bytes]:
    return text.split(b" ", 3)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
