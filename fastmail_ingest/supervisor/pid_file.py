"""A file that says which process is at work here, and is held by it: PID, birth, and how long it may drain.

Who holds it is known by a lock, which ends with the process; who it is, by its moment of birth.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fastmail_ingest.errors import ConfigError, UnavailableError
from fastmail_ingest.supervisor.birth import kernel, start_ticks


@dataclass(frozen=True)
class Written:
    """What stands in the file; `stop_s` is within how many seconds of a SIGTERM the process ends."""

    pid: int
    born: str
    kernel: str
    stop_s: float

    @classmethod
    def of_us(cls, stop_s: float) -> Self:
        """This process."""
        return cls(os.getpid(), start_ticks(os.getpid()), kernel(), stop_s)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What the file says; None if there is none, or it is not one of ours. Raises ConfigError."""
        try:
            words = path.read_text("ascii").split()
            pid, born, where, stop_s = words
            return cls(int(pid), born, where, float(stop_s))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(
                f"cannot read {path}: {error.strerror}. remedy: be the user who wrote it, or name another"
            ) from error
        except ValueError:
            return None

    def pidfd(self) -> int | None:
        """A descriptor that is this very process as long as it is open; None if it is gone."""
        if self.kernel != kernel() or self.pid <= 0:
            return None
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Asked while the descriptor holds it: if the birth is right, it is who is meant.
        if start_ticks(self.pid) == self.born:
            return descriptor
        os.close(descriptor)
        return None

    def __str__(self) -> str:
        # The PID alone in the first line, as other programs expect it.
        return f"{self.pid}\n{self.born} {self.kernel}\n{self.stop_s}\n"


class PidFile:
    """Held as long as the block runs; removed behind it. Forked children do not hold it."""

    def __init__(self, path: Path, stop_s: float) -> None:
        self._path = path
        self._stop_s = stop_s

    def __enter__(self) -> Self:
        """Raises ConfigError if it cannot be written, UnavailableError if another process holds it."""
        while not self._is_still_there(descriptor := self._opened()):
            os.close(descriptor)
        self._descriptor = descriptor
        text = str(Written.of_us(self._stop_s)).encode("ascii")
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _opened(self) -> int:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o644)
        except OSError as error:
            raise ConfigError(
                f"--pid-file: cannot write {self._path}: {error.strerror}. "
                "remedy: name a file in a directory that you may write to"
            ) from error
        try:
            # Not flock(2): such a lock would be the children's, too, and end with the last of them.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            running = Written.read(self._path)
            raise UnavailableError(
                f"{self._path} is held by another fastmail-ingest"
                f"{f' (pid {running.pid})' if running else ''}. remedy: stop that one, or name another file"
            ) from None
        return descriptor

    def _is_still_there(self, descriptor: int) -> bool:
        """Whether it was not removed by its last holder between our opening and our locking."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
