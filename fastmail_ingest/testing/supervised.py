"""The system under test: the real `fastmail-ingest supervise` in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import psutil

from fastmail_ingest.testing.mail import ACCOUNT, Login
from fastmail_ingest.testing.plan import Chaos, Settings
from fastmail_ingest.testing.recorder import TARGET, VARIABLE

_DIED = re.compile(r"\(pid (\d+)\) died")
_KILLED = re.compile(r"^killing \S+ \d+ \(pid (\d+)\)")
_STOP_DEADLINE_S = 60.0


def configuration(chaos: Chaos, login: Login, redis_url: str, prefix: str) -> str:
    """The text of `supervisor.toml`."""
    account: dict[str, object] = {
        "name": ACCOUNT, "host": "127.0.0.1", "port": login.port, "user": login.user,
        "password": login.password, "tls": "off", "mailboxes": login.mailboxes,
    }  # fmt: skip
    sections: dict[str, dict[str, object]] = {
        "redis": {"url": redis_url, "prefix": prefix},
        "producer": {"poll_min": 0.05, "poll_max": 1.0, "timeout": 1.0},
        "worker": {"procs": chaos.procs},
        "handler": {"target": TARGET, "timeout": chaos.hang_timeout_s},
        "retry": {"attempts": 3, "first": 0.05, "cap": 1.0, "max_deaths": 3},
        # Whom others kill is not broken: no number of early deaths may end the run.
        "supervisor": {"short_life": 0.0, "lease": 2.0, "drain_timeout": 20.0},
        "logging": {"format": "json"},
        "admin": {"port": 0},  # many of these may run at once
    }
    laid_over(sections, chaos.settings)
    lines = ["[[accounts]]", *_lines(account)]
    for name, values in sections.items():
        lines += [f"[{name}]", *_lines(values)]
    return "\n".join([*lines, ""])


def laid_over(sections: dict[str, dict[str, object]], settings: Settings) -> None:
    """Put the user's settings over those of the kit."""
    for name, values in settings.items():
        sections.setdefault(name, {}).update(values)


def _lines(values: dict[str, object]) -> Iterator[str]:
    # JSON's strings, numbers, booleans and lists of them are TOML's, too.
    return (f"{key} = {json.dumps(value)}" for key, value in values.items())


class Ended(msgspec.Struct, frozen=True):
    """A child's death as the supervisor's log tells it; `killed` if the supervisor did it itself."""

    pid: int
    at: float  # seconds since the epoch
    killed: bool
    message: str = ""


class Supervised:
    """Starts, finds, signals and ends one supervisor after the other, all with one log."""

    def __init__(self, directory: Path, orders: Path) -> None:
        self._directory = directory
        self._config = directory / "supervisor.toml"
        self._orders = orders
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, text: str) -> None:
        """Write the configuration file."""
        self._config.touch(mode=0o600)
        self._config.write_text(text)

    def start(self) -> None:
        """Start it; does not wait."""
        command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(self._config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, VARIABLE: str(self._orders)},
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The supervisor's pid, 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def exit_code(self) -> int | None:
        """The code with which it ended by itself; None while it runs, and after `kill`."""
        return self._process.poll() if self._process is not None else None

    def children(self, role: str) -> list[psutil.Process]:
        """The living children that play this role."""
        if self._process is None or self._process.poll() is not None:
            return []
        try:
            found = psutil.Process(self.pid).children()
            return [child for child in found if _plays(child, role)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the supervisor alone; its children are its own affair."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def stop(self) -> int | None:
        """Drain; returns the exit code, None if it had to be killed or did not run."""
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def deaths(self) -> list[Ended]:
        """The deaths of children that the log tells of."""
        found: list[Ended] = []
        for text in self.log.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
                message = line["message"]
            except (ValueError, TypeError, KeyError):
                continue  # a handler may print what it likes
            for pattern, killed in ((_DIED, False), (_KILLED, True)):
                if match := pattern.search(message):
                    at = datetime.fromisoformat(line["time"]).timestamp()
                    found.append(Ended(int(match[1]), at, killed, message))
        return found

    def tail(self, lines: int) -> list[str]:
        """The end of the log."""
        return self.log.read_text(errors="replace").splitlines()[-lines:]


def _plays(child: psutil.Process, role: str) -> bool:
    try:
        return child.name().startswith(f"fmi-{role}"[:15]) and child.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
