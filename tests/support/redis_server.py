"""A private Redis or Valkey on a unix socket, ended by its pid."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import redis

from support.waiting import wait_until


class RedisServer:
    """One server process with its own directory; `kill` and `start` again to lose nothing but the process."""

    def __init__(self, binary: str, appendfsync: str = "always") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-test-"))
        self.url = f"unix://{self.directory}/redis.sock"
        self._binary = binary
        self._appendfsync = appendfsync
        self.start()

    def start(self, appendonly: str = "yes") -> None:
        words = {
            "port": "0",
            "unixsocket": f"{self.directory}/redis.sock",
            "dir": str(self.directory),
            "save": "",
            "appendonly": appendonly,
            "appendfsync": self._appendfsync,
            "loglevel": "warning",
            "logfile": f"{self.directory}/log",
        }
        options = [part for name, value in words.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen([self._binary, *options])
        wait_until(self._answers, "the Redis server answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
