"""The private directory in which the processes of one supervisor keep their Prometheus metrics.

It is in memory (/dev/shm) where there is room, locked as long as one of them lives, and removed at the end;
what a supervisor left that was killed is removed by the next one.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.telemetry import process_name
from fastmail_ingest.telemetry.room import reserve

_log = logging.getLogger(__name__)

PREFIX = "fastmail-ingest-metrics-"
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# What our own metrics need; those of a handler come on top.
RESERVED_BYTES = {"counter": 16 * 1024, "histogram": 32 * 1024}
_ROOM_MIN_BYTES = 16 * 1024 * 1024


class MetricsDirectory:
    """Made by the supervisor before it forks, and before anybody imports prometheus_client."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._previous = os.environ.get(VARIABLE)

    @classmethod
    def make(cls) -> Self:
        """A new one, where prometheus_client keeps its values from now on; what the dead left is removed.

        Raises ConfigError if it cannot be made.
        """
        parent = _parent()
        for left in _left_behind(parent):
            shutil.rmtree(left, ignore_errors=True)
        try:
            directory = cls(*_made_and_locked(parent))
        except OSError as error:
            raise ConfigError(
                f"cannot make a directory for metrics in {parent}: {error.strerror}. remedy: let this user "
                "write to /dev/shm, or set TMPDIR to a directory with some MB of room"
            ) from error
        directory._activate()
        return directory

    def _activate(self) -> None:
        os.environ[VARIABLE] = str(self.path)
        # Not above: who imports it first decides what it does, by the variable. Metrics that somebody had
        # made before stay in their processes.
        from prometheus_client import values  # noqa: PLC0415

        values.ValueClass = values.MultiProcessValue(process_identifier=process_name.current)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it, with all that is in it; what is counted from now on stays in its process."""
        if self._previous is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._previous
        from prometheus_client import values  # noqa: PLC0415

        values.ValueClass = values.MutexValue
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def place() -> Path | None:
    """Where this process and its relatives keep their metrics; None if each keeps its own to itself."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def begin_counting(generation: int) -> Path | None:
    """Say which child this process is, before it counts anything; returns where, None if it cannot."""
    process_name.take(generation)
    directory = place()
    if directory is None:
        return None
    try:
        for kind, size in RESERVED_BYTES.items():
            reserve(directory / f"{kind}_{process_name.current()}.db", size)
    except OSError as error:
        _log.warning("no metrics of this process: no room in %s (%s). remedy: make some", directory, error)
        return None
    return directory


def _parent() -> Path:
    """In memory if there is room: the files are written many times a second, and are worth nothing later."""
    for candidate in ("/dev/shm", os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]):  # noqa: S108 - mkdtemp in it
        if candidate and os.access(candidate, os.W_OK | os.X_OK) and _has_room(candidate):
            return Path(candidate)
    return Path(tempfile.gettempdir())


def _has_room(directory: str) -> bool:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize >= _ROOM_MIN_BYTES


def _made_and_locked(parent: Path) -> tuple[Path, int]:
    """Children inherit the lock, so it is held until the last of them is gone (flock(2))."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if path.exists():
            return path, lock
        os.close(lock)  # somebody took it for one that was left behind


def _left_behind(parent: Path) -> Iterator[Path]:
    """Directories of ours that nobody holds; each is locked against those who would begin to."""
    for path in parent.glob(f"{PREFIX}*"):
        try:
            if path.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or none of ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        except BlockingIOError:
            continue  # its supervisor lives
        finally:
            os.close(lock)
