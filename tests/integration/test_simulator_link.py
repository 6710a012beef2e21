"""The line between client and server, over real sockets. Times are asserted as lower bounds only."""

import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.waiting import wait_until

from fastmail_ingest.simulator import Line, Link, ServerThread

MUCH = 3_000_000


class Echo:
    """A server that gives back each byte, and hangs up when its client does."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.alive = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self.alive += 1
        try:
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
        except OSError:
            pass
        finally:
            self.alive -= 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listening.close()


@pytest.fixture
def running(echo: Echo) -> Iterator[ServerThread[Link]]:
    with ServerThread(Link(echo.port)) as thread:
        yield thread


@pytest.fixture
def connect(running: ServerThread[Link]) -> Iterator[Callable[[], socket.socket]]:
    made: list[socket.socket] = []

    def one() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", running.port), 20))
        return made[-1]

    yield one
    for each in made:
        each.close()


def ask(connection: socket.socket, data: bytes = b"ping") -> bytes:
    connection.sendall(data)
    return received(connection, len(data))


def received(connection: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        data = connection.recv(1 << 16)
        if not data:
            break
        got += data
    return bytes(got)


@pytest.mark.parametrize("line", [Line(), Line(0.01), Line(0.0, 20e6), Line(0.005, 20e6)], ids=str)
def test_bytes_come_whole_and_in_order(
    running: ServerThread[Link], connect: Callable[[], socket.socket], line: Line
) -> None:
    running.call(lambda: running.server.change(line))
    data = random.Random(1).randbytes(MUCH)
    connection = connect()
    threading.Thread(target=lambda: connection.sendall(data), daemon=True).start()
    assert hashlib.sha256(received(connection, MUCH)).digest() == hashlib.sha256(data).digest()
    assert running.server.carried == [MUCH, MUCH]


def test_the_delay_is_there_in_both_directions(
    running: ServerThread[Link], connect: Callable[[], socket.socket]
) -> None:
    running.call(lambda: running.server.change(Line(delay_s=0.1)))
    connection = connect()
    ask(connection)
    begin = time.monotonic()
    ask(connection)
    assert time.monotonic() - begin >= 0.19  # the loop's clock knows whole milliseconds


def test_the_rate_is_not_exceeded(running: ServerThread[Link], connect: Callable[[], socket.socket]) -> None:
    running.call(lambda: running.server.change(Line(bytes_per_s=1e6)))
    connection = connect()
    begin = time.monotonic()
    ask(connection, bytes(400_000))
    assert time.monotonic() - begin >= 0.39


def test_an_end_is_told_and_the_connection_forgotten(
    running: ServerThread[Link], connect: Callable[[], socket.socket], echo: Echo
) -> None:
    running.call(lambda: running.server.change(Line(delay_s=0.01)))
    connection = connect()
    connection.sendall(b"last words")
    connection.shutdown(socket.SHUT_WR)
    assert received(connection, 100) == b"last words"
    wait_until(lambda: running.server.open == 0, "the link has let go of it")
    wait_until(lambda: echo.alive == 0, "the server has seen the end")


def test_a_cut_resets_both_ends(
    running: ServerThread[Link], connect: Callable[[], socket.socket], echo: Echo
) -> None:
    connection = connect()
    ask(connection)
    running.call(running.server.cut)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    wait_until(lambda: echo.alive == 0, "the server has seen the end")
    assert ask(connect()) == b"ping"


def test_what_a_nat_has_forgotten_is_silent_and_new_connections_work(
    running: ServerThread[Link], connect: Callable[[], socket.socket], echo: Echo
) -> None:
    old = connect()
    ask(old)
    running.call(running.server.forget)
    old.sendall(b"anybody there?")
    new = connect()
    assert ask(new) == b"ping"
    old.settimeout(0.05)
    with pytest.raises(TimeoutError):
        old.recv(1)
    old.close()
    wait_until(lambda: running.server.open == 1, "the client's end is gone")
    assert echo.alive == 2  # nobody has told the server


def test_a_black_hole_accepts_and_says_nothing_until_it_ends(
    running: ServerThread[Link], connect: Callable[[], socket.socket], echo: Echo
) -> None:
    def be_hole(wanted: bool) -> None:
        running.server.black_hole = wanted

    old = connect()
    ask(old)
    running.call(lambda: be_hole(True))
    new = connect()
    for connection in (old, new):
        connection.sendall(b"hello")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert echo.alive == 1
    running.call(lambda: be_hole(False))
    for connection in (old, new):
        connection.settimeout(20)
        assert received(connection, 5) == b"hello"


def test_a_sender_is_held_back(running: ServerThread[Link], connect: Callable[[], socket.socket]) -> None:
    """What a slow line takes is bounded: the sender's own buffers fill up."""
    running.call(lambda: running.server.change(Line(bytes_per_s=1.0)))
    connection = connect()
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.sendall(bytes(64 * 1024 * 1024))


def test_a_server_that_is_not_there_is_a_reset() -> None:
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()
    # Already the connecting may see it.
    with (
        ServerThread(Link(port)) as running,
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", running.port), 20) as connection,
    ):
        connection.recv(1)
