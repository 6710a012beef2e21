"""The sockets: who may connect, how long a request may take to arrive, and what a port in use means."""

import asyncio
import errno
import logging
import socket
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

from fastmail_ingest.admin.answers import Refused
from fastmail_ingest.admin.guard import protect
from fastmail_ingest.policy.backoff import Backoff, delay_s

_log = logging.getLogger(__name__)

CONNECTIONS_MAX = 256
HEADERS_MAX = 64
HEADER_MAX_BYTES = 8190
BODY_MAX_BYTES = 64 * 1024
# From the connection, or the answer before, to the end of a request's head: slow clients are cut off then.
ARRIVE_TIMEOUT_S = 15.0
# For a client that does not take what it is sent.
UNREAD_TIMEOUT_MS = 20_000
CLOSE_TIMEOUT_S = 1.0
_TRY_AGAIN = Backoff(first_s=1.0, multiplier=2.0, cap_s=30.0, jitter=0.0)
_PARSING: dict[str, Any] = {
    "access_log": None,  # guard.py has its own, without queries
    "max_line_size": HEADER_MAX_BYTES,
    "max_field_size": HEADER_MAX_BYTES,
    "max_headers": HEADERS_MAX,
    "keepalive_timeout": ARRIVE_TIMEOUT_S,
    "lingering_time": 1.0,
}


class _Connection(web.RequestHandler):
    """One client; what is no HTTP is answered in our form, and without telling what we are made of."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("a request failed: %r", exc)
        refused = Refused(status, "bad_request", "this is no request that can be read", "send HTTP/1.1")
        response = refused.answer()
        protect(response)
        response.force_close()
        return response


class _TooMany(asyncio.Protocol):
    """Tells a client to come later."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By cast: those of uvloop are no instances of asyncio's classes.
        connected = cast("asyncio.Transport", transport)
        head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
        connected.write(f"{head}Connection: close\r\n\r\n".encode())
        connected.close()


class Listener:
    """Serves one application on one address."""

    def __init__(self, app: web.Application, host: str, port: int, key: str) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)
        self._host, self._port, self._key = host, port, key
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while there is none."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def open(self) -> None:
        """Listen; as long as that cannot be, say why and try again, ever more seldom."""
        await self._runner.setup()
        tries = 0
        while self._server is None:
            try:
                await self._listen()
            except OSError as error:
                tries += 1
                wait_s = delay_s(_TRY_AGAIN, tries, 0.0)
                _log.log(
                    logging.WARNING if tries == 1 else logging.INFO,
                    "no HTTP on %s port %d: %s; the mails go on without it, next try in %.0f s",
                    self._host, self._port, self._why(error), wait_s,
                )  # fmt: skip
                await asyncio.sleep(wait_s)
        _log.info("HTTP on http://%s:%d", f"[{self._host}]" if ":" in self._host else self._host, self.port)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connect, self._host, self._port, reuse_address=True, backlog=2 * CONNECTIONS_MAX
        )
        for sock in self._server.sockets:
            # Inherited by each connection (tcp(7) TCP_USER_TIMEOUT).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT_MS)

    def _connect(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= CONNECTIONS_MAX:
            return _TooMany()
        return _Connection(server, loop=asyncio.get_running_loop(), **_PARSING)

    def _why(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return f"the port is in use. remedy: another {self._key}, or end what uses it (ss -ltnp)"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"ports below 1024 need rights. remedy: [admin] {self._key} = 8080"
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            return 'the address is not one of this machine. remedy: [admin] host = "127.0.0.1"'
        return f"{error.strerror or error}. remedy: see [admin] host and {self._key}"

    async def close(self) -> None:
        """Listen no more, and end all connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
