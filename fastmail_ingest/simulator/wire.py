"""One client connection: lines and literals in, bytes out. `Wire.send` is where every response leaves."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import cast

from fastmail_ingest.errors import ProtocolError

WRITE_HIGH_BYTES = 128 * 1024  # below one block of a FETCH, so that uvloop writes such a block at once
WRITE_LOW_BYTES = 32 * 1024
READ_AHEAD_BYTES = 256 * 1024


class LineTooLong(ProtocolError):
    """A line beyond the limit; it has been read to its end and thrown away. `start` is how it began."""

    def __init__(self, start: bytes) -> None:
        super().__init__("line too long")
        self.start = start


class Wire(asyncio.Protocol):
    """The server's end of a connection; its methods raise ConnectionResetError once the peer is gone."""

    def __init__(self, on_connect: Callable[["Wire"], None]) -> None:
        self._on_connect = on_connect
        self._transport: asyncio.Transport | None = None
        self._input = bytearray()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._input_ended = False
        self._ended = False

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the conversation."""
        self._use(transport)
        self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came; hold the peer back when it is far ahead of us."""
        self._input += data
        nobody_waits = self._reader is None or self._reader.done()
        if len(self._input) > READ_AHEAD_BYTES and nobody_waits and self._transport is not None:
            self._transport.pause_reading()
            self._reading_paused = True
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The peer sends no more; true (where TLS allows it) to answer first what it has sent."""
        self._input_ended = True
        _wake(self._reader)
        return not self.encrypted

    def connection_lost(self, _exc: Exception | None) -> None:
        """Wake whoever waits; they find the connection ended."""
        self._input_ended = self._ended = True
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It caught up."""
        self._writing_paused = False
        _wake(self._writer)

    # --- what the session calls

    def send(self, parts: Sequence[bytes]) -> None:
        """Write these bytes, in this order; the one place through which all responses go."""
        if self._transport is not None and not self._ended:
            self._transport.writelines(parts)

    async def drain(self) -> None:
        """Wait until the peer has taken most of it; let the other sessions run in any case."""
        if self._writing_paused and not self._ended:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        else:
            await asyncio.sleep(0)
        if self._ended:
            raise ConnectionResetError("the client is gone")

    async def read_line(self, limit: int) -> bytes:
        """The next line without its line end; raises LineTooLong beyond `limit` bytes."""
        searched = 0
        while (end := self._input.find(b"\n", searched)) < 0:
            if len(self._input) > limit:
                return await self._discard_line()
            searched = len(self._input)
            await self._more()
        line = self._take(end + 1)
        if end > limit:
            raise LineTooLong(line[:64])
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    async def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self._input) < size:
            await self._more()
        return self._take(size)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted. What the client sent too early is dropped, or it would count as protected."""
        if self._transport is None or self._ended:
            raise ConnectionResetError("the client is gone")
        self._input.clear()
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(self._transport, self, context, server_side=True)
        if upgraded is None:
            raise ConnectionResetError("the client is gone")
        self._use(upgraded)

    def close(self) -> None:
        """Hang up after what was sent; safe to call twice."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Hang up at once, and let the peer see a reset instead of an end."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            # To linger for 0 s means to send RST (POSIX setsockopt, SO_LINGER).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    async def ignore(self) -> None:
        """Throw away all that comes; ends only by ConnectionResetError, when the peer is gone."""
        while True:
            self._input.clear()
            await self._more()

    @property
    def encrypted(self) -> bool:
        """Whether TLS is on."""
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is not None

    def _use(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)

    async def _more(self) -> None:
        if self._input_ended:
            raise ConnectionResetError("the client is gone")
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    async def _discard_line(self) -> bytes:
        start = bytes(self._input[:64])
        while (end := self._input.find(b"\n")) < 0:
            self._input.clear()
            await self._more()
        self._take(end + 1)
        raise LineTooLong(start)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._input[:size])
        del self._input[:size]
        return taken


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
