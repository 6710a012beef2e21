"""A Redis of the run's own that can be killed, stopped and started again on the same data."""

import signal
import subprocess
import time
from pathlib import Path

import redis

from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.stream.connect import UNAVAILABLE, connect
from fastmail_ingest.stream.server import find_binary

_START_DEADLINE_S = 30.0
_LOOK_EVERY_S = 0.005
# Nearly all of the file is history: rewritten early it is short, and a restart quick.
_REWRITE_MIN = "32mb"


class RedisServer:
    """One server on a unix socket in `directory`. Every write is on disk before it is answered."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{self._socket}"

    @property
    def answering(self) -> bool:
        """Whether it runs and is not stopped."""
        return self._process is not None and not self._stopped

    def start(self) -> None:
        """Start it on the data that is there, and wait until it answers; raises StreamUnavailable."""
        options = {
            "port": "0", "unixsocket": str(self._socket), "dir": str(self._directory), "save": "",
            "appendonly": "yes", "appendfsync": "always", "auto-aof-rewrite-min-size": _REWRITE_MIN,
            "maxmemory-policy": "noeviction", "loglevel": "warning",
            "logfile": str(self._directory / "redis.log"),
        }  # fmt: skip
        words = [str(find_binary())]
        for name, value in options.items():
            words += [f"--{name}", value]
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)  # noqa: S603
        deadline = time.monotonic() + _START_DEADLINE_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise StreamUnavailable(f"Redis does not start: see redis.log in {self._directory}")
            time.sleep(_LOOK_EVERY_S)

    def _answers(self) -> bool:
        client = self.client()
        try:
            return self._socket.exists() and bool(client.ping())
        except UNAVAILABLE:
            return False
        finally:
            client.close()

    def client(self) -> redis.Redis:
        """A client of one's own."""
        return connect(self.url)

    def kill(self) -> None:
        """SIGKILL; harmless if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._stopped = None, False

    def pause(self) -> None:
        """SIGSTOP: connections stay, answers do not come."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            self._stopped = True

    def resume(self) -> None:
        """SIGCONT; harmless if it was killed meanwhile."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self._stopped = False
