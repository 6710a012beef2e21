"""A server in a thread of its own, for tests and for programs that are not asyncio."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

import uvloop


class Server(Protocol):
    """What a thread can run: an `ImapServer`, a `Link`."""

    @property
    def port(self) -> int:
        """The port it listens on."""
        ...

    async def start(self) -> None:
        """Listen."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...


Result = TypeVar("Result")
Served = TypeVar("Served", bound=Server)

_DEADLINE_S = 10.0


class ServerThread(Generic[Served]):
    """Runs an `ImapServer` or a `Link` while its `with` block runs. Change it only through `call`."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)

    def __enter__(self) -> "ServerThread[Served]":
        self._thread.start()
        self.run(self.server.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE_S)
        self._loop.close()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self.server.port

    def call(self, function: Callable[[], Result]) -> Result:
        """Run this on the server's loop and return its result; raises what it raises."""

        async def awaitable() -> Result:
            return function()

        return self.run(awaitable)

    def run(self, function: Callable[[], Awaitable[Result]], deadline_s: float = _DEADLINE_S) -> Result:
        """Await this on the server's loop and return its result; raises what it raises, or TimeoutError."""

        async def awaited() -> Result:
            return await function()

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(deadline_s)
