"""What a service manager does to hear of its service: a real datagram socket that reads sd_notify(3)."""

import os
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from support.waiting import wait_until


class ServiceManager:
    """Listens at a path, or in the abstract namespace; `heard` are the variables of each datagram."""

    def __init__(self, directory: Path | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        name = str(directory / "notify") if directory else f"@fmi-test-{secrets.token_hex(8)}"
        self._socket.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        self.address = name
        self.heard: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def environment(self, watchdog_s: float = 0.0, **more: str) -> dict[str, str]:
        """The environment of a service of this manager."""
        watchdog = {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}
        return {**os.environ, "NOTIFY_SOCKET": self.address, **watchdog, **more}

    def listen(self) -> list[dict[str, str]]:
        """Take what has come by now; returns all that was ever heard."""
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait_for(self, variable: str, value: str = "", *, times: int = 1) -> list[dict[str, str]]:
        """The datagrams with that variable, once there are so many of them."""

        def found() -> list[dict[str, str]]:
            return [each for each in self.listen() if variable in each and value in each[variable]]

        wait_until(
            lambda: len(found()) >= times, f"{times} times {variable}={value}; heard {self.heard[-5:]}"
        )
        return found()

    def order(self, *variables: str) -> list[str]:
        """Which of these were heard, in their order, each run of the same one once."""
        names = [name for each in self.listen() for name in each if name in variables]
        return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
