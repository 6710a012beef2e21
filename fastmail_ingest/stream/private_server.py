"""A Redis of our own for a moment: it loads a snapshot, which is looked at and made fit to be put back."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
import redis.exceptions

from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.connect import UNAVAILABLE, connect
from fastmail_ingest.stream.snapshot import Show, Wait

_LOOK_EVERY_S = 0.05
_STOP_S = 30.0
_SNAPSHOT = "dump.rdb"
AOF_DIRECTORY = "appendonlydir"


class PrivateServer:
    """A server on a unix socket that nobody else knows, with its data in `directory`, which must be there.

    Use it in a `with` block: however that ends, the server is gone. `in_child` is called in its process
    before that becomes the server.
    """

    def __init__(
        self, binary: Path, directory: Path, in_child: Callable[[], None], deadline_s: float, wait: Wait
    ) -> None:
        self._binary = binary
        self._directory = directory
        self._in_child = in_child
        self._deadline_s = deadline_s
        self._wait = wait
        # A socket's path is limited to 107 bytes (unix(7)), a data directory's is not.
        self._socket_directory = tempfile.TemporaryDirectory(prefix="fmi-")
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """Where clients find it."""
        return f"unix://{self._socket_directory.name}/redis.sock?db={database}"

    def start(self, snapshot: Path) -> None:
        """Start it on a snapshot, which it only reads."""
        (self._directory / _SNAPSHOT).symlink_to(snapshot.absolute())
        options = {
            "port": "0", "unixsocket": f"{self._socket_directory.name}/redis.sock", "unixsocketperm": "700",
            "dir": str(self._directory), "dbfilename": _SNAPSHOT, "save": "", "appendonly": "no",
            "appenddirname": AOF_DIRECTORY, "auto-aof-rewrite-percentage": "0", "maxmemory": "0",
            "daemonize": "no", "loglevel": "notice", "logfile": str(self._directory / "redis.log"),
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [str(self._binary), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True, umask=0o077, preexec_fn=self._in_child,  # noqa: PLW1509 - we have no threads
            close_fds=False,  # what we hold by a lock is held as long as it lives
        )  # fmt: skip

    def wait_until_loaded(self, show: Show) -> None:
        """Wait until it has loaded all; raises BackupError."""
        self._until(lambda: self._has_loaded(show), "load the snapshot")
        show(1.0)

    def write_file(self, *, as_commands: bool) -> Path:
        """Write all it has into an append-only file; returns its directory. Raises BackupError.

        `as_commands`: in the protocol that any server understands, else in the server's own form.
        """
        client = connect(self.url())
        try:
            client.config_set("aof-use-rdb-preamble", "no" if as_commands else "yes")
            client.config_set("appendonly", "yes")
            self._until(lambda: _is_written(client), "write its file")
        except UNAVAILABLE as error:
            raise BackupError(f"{self._binary} does not write its file: {error}. {self._remedy()}") from error
        finally:
            client.close()
        return self._directory / AOF_DIRECTORY

    def stop(self) -> None:
        """End it in good order: what it has written is on disk then."""
        client = connect(self.url())
        with suppress(*UNAVAILABLE):
            client.shutdown(nosave=True)
        client.close()
        if self._process is not None:
            self._process.wait(_STOP_S)

    def _has_loaded(self, show: Show) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise BackupError(f"{self._binary} ended while it loaded the snapshot. {self._remedy()}")
        client = connect(self.url())
        try:
            info: dict[str, Any] = client.info("persistence")
        except UNAVAILABLE:
            return False
        finally:
            client.close()
        if int(info.get("loading", 0)):
            show(float(info.get("loading_loaded_perc", 0)) / 100)
            return False
        return True

    def _until(self, fact: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._deadline_s
        while not fact():
            if time.monotonic() > end:
                raise BackupError(f"{self._binary} did not {what} in time. remedy: raise [backup] timeout")
            self._wait(_LOOK_EVERY_S)

    def _remedy(self) -> str:
        """The end of its log, which goes with its directory."""
        try:
            last = (self._directory / "redis.log").read_text("utf-8", "replace").strip().splitlines()[-1:]
        except OSError:
            last = []
        end = " ".join(last) or "nothing"
        return f"Its log ends: {end}. remedy: see to memory and disk, or use another backup"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._socket_directory.cleanup()


def _is_written(client: redis.Redis) -> bool:
    info: dict[str, Any] = client.info("persistence")
    if info.get("aof_last_bgrewrite_status") != "ok":
        raise BackupError("the append-only file could not be written. remedy: make room on that disk")
    return not int(info["aof_rewrite_in_progress"]) and not int(info["aof_rewrite_scheduled"])
