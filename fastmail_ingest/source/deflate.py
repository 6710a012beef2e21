"""COMPRESS=DEFLATE (RFC 4978): the same connection, compressed in both directions, over TLS or without."""

import socket
import zlib
from typing import Any

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.source.wire import WiredClient

_PIECE_BYTES = 64 * 1024
_RAW = -15  # no header of zlib's (RFC 4978 3)


def compress(client: WiredClient) -> None:
    """Ask for compression if the server offers it, and go on compressed if it agrees."""
    if not client.has_capability("COMPRESS=DEFLATE"):
        return
    wire = client.wire
    tag = client.send_command("COMPRESS DEFLATE")
    while not (line := wire.line()).startswith(tag + b" "):
        if not line.startswith(b"* "):
            raise ProtocolError("unexpected answer to COMPRESS")
    if line[len(tag) + 1 :][:2].upper() == b"OK":
        wire.replace_socket(DeflatedSocket(wire.sock))


class DeflatedSocket:
    """A socket whose bytes are compressed. It inflates a little at a time, so what a server can make of a few
    bytes is limited like all that it sends.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._inflate = zlib.decompressobj(_RAW)
        self._deflate = zlib.compressobj(wbits=_RAW)
        self._received = b""  # not inflated yet
        self._inflated = b""  # not handed out yet
        self._may_have_more = False  # zlib may still hold what came out beyond the last piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, view: memoryview) -> int:
        """As socket.recv_into: at least one byte, unless the connection ends (0)."""
        while not self._inflated:
            if self._inflate.eof:
                return 0
            if not self._received and not self._may_have_more:
                self._received = self._sock.recv(_PIECE_BYTES)
                if not self._received:
                    return 0
            self._inflate_piece()
        count = min(len(view), len(self._inflated))
        view[:count] = self._inflated[:count]
        self._inflated = self._inflated[count:]
        return count

    def _inflate_piece(self) -> None:
        try:
            self._inflated = self._inflate.decompress(self._received, _PIECE_BYTES)
        except zlib.error as error:
            raise ProtocolError(f"what the server sent is not compressed as agreed: {error}") from error
        self._received = self._inflate.unconsumed_tail
        self._may_have_more = len(self._inflated) == _PIECE_BYTES

    def pending(self) -> int:
        """Bytes that are here already, though no poll on the socket would tell."""
        if self._may_have_more and not self._inflated:
            self._inflate_piece()
        below = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return len(self._inflated) + len(self._received) + below

    def sendall(self, data: bytes) -> None:
        """As socket.sendall; each call can be read by the peer at once."""
        self._sock.sendall(self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH))
