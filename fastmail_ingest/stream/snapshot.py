"""A snapshot of Redis: have it written (BGSAVE), wait for it, and get hold of its file."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import redis.connection
import redis.exceptions

from fastmail_ingest.errors import BackupError, StreamUnavailable
from fastmail_ingest.model.tally import Tally
from fastmail_ingest.stream.blobs import Blobs
from fastmail_ingest.stream.connect import UNAVAILABLE, redacted
from fastmail_ingest.stream.reach import Tool
from fastmail_ingest.stream.tallying import take_tally

_MIB = 1024 * 1024
_LOOK_EVERY_S = 0.05
_LOOPBACK = ("localhost", "127.", "::1")
HOSTED = (
    "remedy: allow it to the user of [redis] url (ACL +bgsave +info, or for a copy over the network +psync "
    "+replconf), or use the snapshots of your provider: `fastmail-ingest restore` takes its .rdb file"
)

Show = Callable[[float], None]  # is told which share of the whole is done
Wait = Callable[[float], None]  # waits so many seconds; raises what ends the work


class Snapshots(Tool):
    """Has Redis write snapshots.

    Methods raise BackupError with the reason, and StreamUnavailable if Redis is away.
    """

    @property
    def url(self) -> str:
        """Where Redis is, with the password if there is one in it."""
        return self._url

    def server(self) -> str:
        """Name and version, as in `redis 7.0.15`."""
        info: dict[str, Any] = self._ask("INFO", "server")
        name = "valkey" if "valkey_version" in info else "redis"
        return f"{name} {info.get(f'{name}_version', '?')}"

    def tally(self) -> Tally:
        """How many mails are where."""
        with self._reached():
            return take_tally(self._redis, self._keys)

    def blob_space(self) -> str:
        """What the names of this database's blobs begin with."""
        with self._reached():
            return Blobs(self._redis, self._keys).space()

    def is_here(self) -> bool:
        """Whether Redis seems to run on this machine, with a file system that is ours, too."""
        options: dict[str, Any] = redis.connection.parse_url(self._url)  # type: ignore[no-untyped-call]
        if "path" in options:
            return True
        host = str(options.get("host", "localhost"))
        return host.startswith(_LOOPBACK) or host == socket.gethostname()

    def place(self) -> Path | None:
        """Where Redis keeps its snapshot, if it tells and that directory can be read by us."""
        found = self.settings("dir", "dbfilename")
        directory = Path(found.get("dir", ""))
        if not found.get("dbfilename") or not os.access(directory, os.R_OK | os.X_OK):
            return None
        return directory / found["dbfilename"]

    def settings(self, *names: str) -> dict[str, str]:
        """What Redis is set to; nothing if it does not tell, as hosted servers often do."""
        found: dict[str, str] = {}
        for name in names:
            try:
                found |= _text(self._ask("CONFIG", "GET", name))
            except BackupError:
                return {}
        return found

    def take(self, deadline_s: float, show: Show, wait: Wait) -> None:
        """Have a snapshot written that begins now, and wait until it is on disk."""
        end = time.monotonic() + deadline_s
        self._refuse_to_stop_writes()
        self._wait_for(lambda info: not _is_saving(info), end, show, wait)
        saves = int(self._persistence()["rdb_saves"])
        try:
            # Scheduled if the append-only file is just being rewritten.
            self._ask("BGSAVE", "SCHEDULE")
        except BackupError as error:
            if "already in progress" not in str(error):
                raise
            # By somebody else, in between; it began after our word was given, so it is as good.
        # Counted when it begins; a scheduled one has not begun yet.
        last = self._wait_for(
            lambda info: int(info["rdb_saves"]) > saves and not _is_saving(info), end, show, wait
        )
        if last.get("rdb_last_bgsave_status") != "ok":
            raise BackupError(f"Redis could not write its snapshot: {self._why_not()}")
        show(1.0)

    def _refuse_to_stop_writes(self) -> None:
        """A snapshot that fails makes a Redis that saves by itself refuse writes: ask for its room before."""
        found = self.settings("dir", "save", "stop-writes-on-bgsave-error")
        if not found.get("save") or found["stop-writes-on-bgsave-error"] != "yes":
            return
        info: dict[str, Any] = self._ask("INFO", "memory")
        needed = int(info.get("used_memory_dataset", 0))
        if os.access(found["dir"], os.R_OK) and shutil.disk_usage(found["dir"]).free < needed:
            raise BackupError(
                f"Redis may need {needed / _MIB:.0f} MiB for its snapshot in {found['dir']}, and there is "
                "less. If that failed, it would take no mails (stop-writes-on-bgsave-error). "
                "remedy: make room there"
            )

    def _wait_for(
        self, fact: Callable[[dict[str, Any]], bool], end: float, show: Show, wait: Wait
    ) -> dict[str, Any]:
        while not fact(info := self._persistence()):
            if time.monotonic() > end:
                raise BackupError(
                    "Redis did not finish its snapshot in time. remedy: see what its disk is busy with, "
                    "and raise [backup] timeout"
                )
            # Since Redis 7.0 and in Valkey; others only know that they are at it.
            if total := int(info.get("current_save_keys_total", 0)):
                show(int(info.get("current_save_keys_processed", 0)) / total)
            wait(_LOOK_EVERY_S)
        return info

    def _why_not(self) -> str:
        directory = self.settings("dir").get("dir", "its directory")
        free = shutil.disk_usage(directory).free if os.access(directory, os.R_OK) else None
        room = "" if free is None else f" ({free / _MIB:.0f} MiB are free)"
        return (
            f"it failed while it wrote to {directory}{room}. remedy: its log says why; make room there, or "
            "let Redis write there"
        )

    def _persistence(self) -> dict[str, Any]:
        info: dict[str, Any] = self._ask("INFO", "persistence")
        if "rdb_saves" not in info:
            raise BackupError(f"Redis does not tell about its snapshots. {HOSTED}")
        return info

    def _ask(self, *command: str) -> Any:
        try:
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.ResponseError as error:
            raise BackupError(f"Redis refuses {' '.join(command)}: {error}. {HOSTED}") from error
        except UNAVAILABLE as error:
            raise StreamUnavailable(
                f"Redis at {redacted(self._url)} went away during the backup: {error}. remedy: once more"
            ) from error


def database_of(url: str) -> int:
    """The number of the database that a URL names; our own server has one only."""
    if not url:
        return 0
    options: dict[str, Any] = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]
    return int(options.get("db") or 0)


def opened(place: Path, before: os.stat_result | None) -> BinaryIO | None:
    """The snapshot that was written since `before` to the file at `place`; None if it is not there.

    A server writes under another name and renames: what is open stays what it is, whatever is saved later.
    """
    try:
        file = place.open("rb")
    except OSError:
        return None
    now = os.fstat(file.fileno())
    if before is not None and (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns):
        # Another machine's directory, or a container's, that happens to have the same name here.
        file.close()
        return None
    return file


def _is_saving(info: dict[str, Any]) -> bool:
    return bool(int(info.get("rdb_bgsave_in_progress", 0)))


def _text(pairs: Any) -> dict[str, str]:
    """The answer of CONFIG GET as text, whatever redis-py made of it."""
    items = pairs.items() if isinstance(pairs, dict) else zip(pairs[::2], pairs[1::2], strict=True)
    return {_decoded(name): _decoded(value) for name, value in items}


def _decoded(word: Any) -> str:
    return os.fsdecode(word) if isinstance(word, bytes) else str(word)
