"""A real `fastmail-ingest supervise` in a process of its own, with a handler that writes down each call."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

from support.waiting import wait_until

HANDLER = """
    import os
    CALLS = os.open({calls!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(email):
        os.write(CALLS, f"{{email.id}} {{email.attempt}}\\n".encode())
"""


class Supervised:
    """Configuration, handler and process in one directory."""

    def __init__(
        self, directory: Path, port: int, redis_url: str = "", body: str = "", **settings: str
    ) -> None:
        self.directory = directory
        self.calls_file = directory / "calls"
        source = dedent(HANDLER.format(calls=str(self.calls_file)))
        source += dedent(body) if body else "\n\ndef handle(email):\n    note(email)\n"
        (directory / "handler_under_test.py").write_text(source)
        account = settings.pop("account", 'user = "u"\npassword = "p"\ntls = "off"')
        account = f'name = "sim"\nhost = "127.0.0.1"\nport = {port}\n{account}\n'
        sections = {
            "redis": f'url = "{redis_url}"', "handler": 'target = "handler_under_test:handle"',
            "worker": "procs = 2", "logging": 'format = "text"', "admin": "port = 0", **settings,
        }  # fmt: skip
        text = f"[[accounts]]\n{account}" + "".join(f"[{name}]\n{body}\n" for name, body in sections.items())
        self.config = directory / "supervisor.toml"
        self.config.write_text(text)
        self.config.chmod(0o600)
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> "Supervised":
        command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(self.config), *words]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdout=log, stderr=log, start_new_session=True
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def run(self, *words: str) -> int:
        return self.start(*words).wait()

    def wait(self, deadline_s: float = 60.0) -> int:
        assert self.process is not None
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; its log: {self.text()}") from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        os.kill(self.pid, number)
        return self.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def children(self, role: str = "") -> list[int]:
        """The pids of the living children; `role` is the beginning of their name."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = rest.split()
            wanted = f"fmi-{role}"[:15] if role != "redis" else "redis-server"
            if (
                fields[0] not in "ZX"
                and int(fields[1]) == self.pid
                and name.startswith(wanted if role else "")
            ):
                found.append(int(stat.parent.name))
        return found

    def calls(self) -> list[tuple[str, int]]:
        """Each call of the handler: the mail's id and attempt."""
        if not self.calls_file.exists():
            return []
        # A line that is just being written is no call yet.
        lines = self.calls_file.read_text().rpartition("\n")[0].splitlines()
        return [(identity, int(attempt)) for identity, attempt in (line.rsplit(" ", 1) for line in lines)]

    def handled(self) -> set[str]:
        return {identity for identity, _ in self.calls()}

    def wait_for_lines(self, count: int) -> None:
        """As wait_for_calls, for a handler that writes lines of its own into the same file."""
        wait_until(
            lambda: self.calls_file.exists() and self.calls_file.read_bytes().count(b"\n") >= count,
            f"{count} calls of the handler; {self.log}",
        )

    def wait_for_calls(self, count: int) -> None:
        wait_until(lambda: len(self.handled()) >= count, f"{count} mails reach the handler; {self.log}")

    def assert_repeats_are_marked(self) -> None:
        """A mail that came again says so by its attempt."""
        attempts: dict[str, list[int]] = {}
        for identity, attempt in self.calls():
            attempts.setdefault(identity, []).append(attempt)
        for identity, seen in attempts.items():
            assert seen[0] >= 1, identity
            assert all(attempt > 1 for attempt in seen[1:]), (identity, seen)

    def repeats(self) -> int:
        return sum(count - 1 for count in Counter(identity for identity, _ in self.calls()).values())
