"""The server: a listening socket, and one task for each client."""

import asyncio
import contextlib
import ssl

from fastmail_ingest.simulator.dispatch import converse
from fastmail_ingest.simulator.faults import Faults
from fastmail_ingest.simulator.mailbox import Store
from fastmail_ingest.simulator.session import Session, Tally
from fastmail_ingest.simulator.wire import Wire

_BACKLOG = 256


class ImapServer:
    """Serves `store` over IMAP on the running event loop.

    With an `ssl_context` clients may use STARTTLS; with `implicit_tls` they speak TLS from the first byte.
    `faults` decides what goes wrong on purpose.
    """

    def __init__(
        self,
        store: Store,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        *,
        implicit_tls: bool = False,
        faults: Faults | None = None,
    ) -> None:
        self.store = store
        self.host = host
        self.tally = Tally()
        self.sessions: list[Session] = []
        self._wanted_port = port
        self._ssl_context = ssl_context
        self._implicit_tls = implicit_tls
        self._faults = faults
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for until it is started."""
        if self._listening is None:
            return self._wanted_port
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; raises OSError if the port is taken."""
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._welcome),
            self.host,
            self._wanted_port,
            ssl=self._ssl_context if self._implicit_tls else None,
            backlog=_BACKLOG,
        )

    async def close(self) -> None:
        """Say BYE to every client and stop; safe to call twice."""
        if self._listening is None:
            return
        self._wanted_port, listening = self.port, self._listening
        self._listening = None
        listening.close()
        for session in tuple(self.sessions):
            session.send(b"* BYE server is shutting down")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _welcome(self, wire: Wire) -> None:
        session = Session(wire, self.store, self.tally, self._ssl_context)
        session.faults = self._faults
        self.tally.connections += 1
        self.sessions.append(session)
        task = asyncio.get_running_loop().create_task(self._serve(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, session: Session) -> None:
        try:
            with contextlib.suppress(OSError):  # the client went away, or its TLS handshake failed
                await converse(session)
        finally:
            session.unselect()
            session.wire.close()
            self.sessions.remove(session)
