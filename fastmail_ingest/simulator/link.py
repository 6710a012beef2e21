"""A slow or broken line between a client and a server on this machine: a TCP proxy that delays, limits, cuts.

What it does not have of a real line: packets, their loss, and the slow start of TCP.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import cast

from fastmail_ingest.simulator.line import AHEAD_BYTES, QUANTUM_S, Line, Way

LOOPBACK = "127.0.0.1"
_CLIENT, _SERVER = 0, 1


class Link:
    """Listens on loopback and carries each connection over a `Line` to the port `target`.

    Runs on an event loop, in a `ServerThread` for instance; all methods are for the thread of that loop.
    `accepted` counts the connections, `carried` the bytes that reached the client and the server.
    """

    def __init__(self, target: int, line: Line | None = None) -> None:
        self.target = target
        self.line = line or Line()
        self.accepted = 0
        self.carried = [0, 0]
        self._black_hole = False
        self._listening: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()

    @property
    def port(self) -> int:
        """The port it listens on; 0 while it does not."""
        return int(self._listening.sockets[0].getsockname()[1]) if self._listening is not None else 0

    @property
    def open(self) -> int:
        """Connections that clients have now, dead ones included."""
        return sum(pair.ends[_CLIENT].transport is not None for pair in self._pairs)

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: self._accept().ends[_CLIENT], LOOPBACK, 0)

    async def close(self) -> None:
        """Stop, and reset all connections; safe to call twice."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        while self._pairs:
            self.cut()
            await asyncio.sleep(0)

    def change(self, line: Line) -> None:
        """Be another line from now on; what is in flight arrives as it would have."""
        self.line = line
        self._look_again()

    def cut(self) -> None:
        """Reset all connections, at both ends."""
        for pair in tuple(self._pairs):
            pair.reset()

    def forget(self) -> None:
        """Carry nothing more for the connections there are, for good, and tell no end; new ones work.

        So does a NAT that has forgotten them. The server keeps its end until it gives up by itself.
        """
        for pair in self._pairs:
            pair.forgotten = True

    @property
    def black_hole(self) -> bool:
        """Accept connections, carry nothing; what was on its way comes afterwards, as TCP would repeat it."""
        return self._black_hole

    @black_hole.setter
    def black_hole(self, wanted: bool) -> None:
        self._black_hole = wanted
        self._look_again()

    def passing(self, to: int, pieces: Sequence[memoryview]) -> None:
        """Called with what is carried to the client (0) or the server (1), just before it is handed on."""
        self.carried[to] += sum(map(len, pieces))

    def drop(self, pair: "_Pair") -> None:
        """A connection has ended at both ends."""
        self._pairs.discard(pair)

    def _accept(self) -> "_Pair":
        self.accepted += 1
        pair = _Pair(self)
        self._pairs.add(pair)
        return pair

    def _look_again(self) -> None:
        for pair in tuple(self._pairs):
            pair.line_changed()


class _Pair:
    """One connection: the client's end and the server's."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.forgotten = False
        self.ends = (_End(self, _CLIENT), _End(self, _SERVER))
        self._connecting: asyncio.Task[None] | None = None

    @property
    def carries(self) -> bool:
        """Whether anything goes over the line."""
        return not (self.forgotten or self.link.black_hole)

    def connected(self, end: int) -> None:
        """One end is there: the client's calls for the server's."""
        if end == _CLIENT:
            self._call_server()
        else:
            self.ends[_SERVER].pump()

    def line_changed(self) -> None:
        """Go on as the line is now."""
        self._call_server()
        for end in self.ends:
            end.line_changed()

    def _call_server(self) -> None:
        if self._connecting is None and self.carries:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self.ends[_SERVER], LOOPBACK, self.link.target)
        except OSError:
            self.reset()

    def lost(self, error: Exception | None) -> None:
        """One end is gone; if it broke, so does the other, unless nobody would tell it."""
        if all(end.transport is None for end in self.ends):
            self.link.drop(self)
        elif error is not None and not self.forgotten:
            self.reset()

    def told_end(self) -> None:
        """One end knows that no more comes: hang up if both do."""
        if all(end.told_end for end in self.ends):
            for end in self.ends:
                end.close()

    def reset(self) -> None:
        """Let both ends see a reset."""
        if self._connecting is not None:
            self._connecting.cancel()
        for end in self.ends:
            end.reset()


class _End(asyncio.Protocol):
    """One end of a connection, and the way that leads to it from the other."""

    def __init__(self, pair: _Pair, number: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.told_end = False
        self._pair = pair
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._way = Way()
        self.ending = False  # nothing more enters its way
        self._full = False  # the peer reads slower than we write
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the pair."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pair.connected(self._number)

    def data_received(self, data: bytes) -> None:
        """Put it on the way to the other end."""
        if not self._pair.forgotten:
            self._other.come(data)

    def eof_received(self) -> bool:
        """Let the other end see it when all before it has arrived; keep our side open until then."""
        self._other.come_no_more()
        return not self._pair.forgotten

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the pair."""
        self.transport = None
        self._pair.lost(exc)

    def pause_writing(self) -> None:
        """Hold back what arrives for a peer that does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self.pump()

    # --- what the pair and the other end call

    @property
    def _other(self) -> "_End":
        return self._pair.ends[1 - self._number]

    def come(self, data: bytes) -> None:
        """The other end has sent this."""
        self._way.put(data, self._loop.time())
        self.pump()

    def come_no_more(self) -> None:
        """The other end has sent its last."""
        self.ending = True
        self.pump()

    def line_changed(self) -> None:
        """Look again at what is on its way."""
        self._way.line_changed(self._loop.time())
        self.pump()

    def pump(self) -> None:
        """Hand on all that has arrived, and come back when the next does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport = self.transport
        if transport and not transport.is_closing() and self._pair.carries and not self._full:
            now = self._loop.time()
            if pieces := self._way.take(self._pair.link.line, now):
                self._pair.link.passing(self._number, pieces)
                transport.writelines(pieces)
            if self._way:
                # Not earlier than a quantum from now: a timer for each piece would cost more than it shows.
                self._timer = self._loop.call_at(max(self._way.next_at(), now + QUANTUM_S), self.pump)
            elif self.ending and not self.told_end:
                self.told_end = True
                transport.write_eof()
                self._pair.told_end()
        self._other.hold_back(self._way.held_bytes)

    def hold_back(self, held_bytes: int) -> None:
        """Read no more than the line can hold, as the window of a sender would have it."""
        most = self._pair.link.line.queue_bytes
        if self.transport is None or self.transport.is_closing() or self._other.ending:
            return
        if self._reading and held_bytes >= most:
            self.transport.pause_reading()
            self._reading = False
        elif not self._reading and held_bytes <= most - AHEAD_BYTES // 2:
            self.transport.resume_reading()
            self._reading = True

    def close(self) -> None:
        """Hang up when all is written."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Hang up with RST."""
        if self.transport is not None and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            # To linger for 0 s means to send RST (POSIX setsockopt, SO_LINGER).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
