"""A compressed connection gives what was sent, in whatever pieces, and no more at once than was asked for."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.source.deflate import DeflatedSocket
from fastmail_ingest.source.wire import Wire


class Feed:
    """A socket that receives these pieces, one a call."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.sent = b""

    def recv(self, count: int) -> bytes:
        if not self._pieces:
            return b""
        piece, self._pieces[0] = self._pieces[0][:count], self._pieces[0][count:]
        if not self._pieces[0]:
            self._pieces.pop(0)
        return piece

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def gettimeout(self) -> float:
        return 1.0


def deflated(*messages: bytes) -> bytes:
    out = zlib.compressobj(wbits=-15)
    return b"".join(out.compress(message) + out.flush(zlib.Z_SYNC_FLUSH) for message in messages)


def read(sock: DeflatedSocket, step: int) -> bytes:
    out, view = b"", memoryview(bytearray(step))
    while count := sock.recv_into(view):
        out += bytes(view[:count])
    return out


@given(st.lists(st.binary(max_size=2000), max_size=5), st.integers(1, 500), st.integers(1, 300))
def test_all_arrives_in_any_pieces(messages: list[bytes], step: int, cut: int) -> None:
    data = deflated(*messages)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert read(DeflatedSocket(Feed(*pieces)), step) == b"".join(messages)


def test_a_bomb_is_inflated_a_little_at_a_time() -> None:
    bomb = deflated(b"x" * (50 << 20))
    assert len(bomb) < 100_000
    sock = DeflatedSocket(Feed(bomb))
    view = memoryview(bytearray(100))
    assert sock.recv_into(view) == 100
    assert len(sock._inflated) <= 64 * 1024
    assert read(sock, 1 << 16).count(b"x") == (50 << 20) - 100


def test_what_is_there_already_is_told() -> None:
    data = deflated(b"* 1 EXISTS\r\n* 2 EXISTS\r\n")
    wire = Wire(DeflatedSocket(Feed(data)))
    assert wire.line() == b"* 1 EXISTS\r\n"
    assert wire.wait(0.0, 0)
    exact = deflated(b"y" * (64 * 1024), b"z")
    sock = DeflatedSocket(Feed(exact))
    assert sock.recv_into(memoryview(bytearray(64 * 1024))) == 64 * 1024
    assert sock.pending() >= 1


def test_what_we_send_can_be_read_at_once() -> None:
    feed = Feed()
    DeflatedSocket(feed).sendall(b"a1 NOOP\r\n")
    assert zlib.decompressobj(-15).decompress(feed.sent) == b"a1 NOOP\r\n"


def test_noise_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not compressed"):
        read(DeflatedSocket(Feed(b"\xff\xff\xff\xff" * 10)), 100)
