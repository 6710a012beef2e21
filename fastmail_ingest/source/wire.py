"""One buffer between the socket and everybody who reads from it.

imaplib keeps a buffered file of its own; a second reader on the same socket would miss what that
file has already taken. So imaplib's documented hooks (open, read, readline, shutdown) are pointed
here, and the FETCH reader takes large blocks from the same buffer.
"""

import imaplib
import math
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from imapclient import IMAPClient, SocketTimeout

from fastmail_ingest.errors import ProtocolError, SourceUnavailable

BLOCK_BYTES = 512 * 1024
IDLE_BYTES = 16 * 1024  # a quiet connection needs no more; the buffer grows when bytes come fast
LINE_MAX_BYTES = 16 * 1024 * 1024  # a SEARCH answer of a mailbox with two million mails
ANSWER_MAX_BYTES = 4 * LINE_MAX_BYTES  # to one command that imaplib reads the answer of
ANSWER_MAX_LINES = 50_000  # a list of so many mailboxes
# An account that has used up its bandwidth at Google is served with less than this, or not at all.
PACE_MIN_BYTES_PER_S = 1024


class Wire:
    """Buffered reading from a socket that may be replaced (STARTTLS)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._start = self._end = 0
        self._buffer = bytearray()
        self._resize(IDLE_BYTES)
        self.kept_pace: Callable[[], None] = lambda: None  # called while a long answer comes fast enough
        self.waits_since = 0.0  # time.monotonic() of a read under way, or that failed; 0.0 if there is none
        self.begin()

    def begin(self) -> None:
        """A command goes out: from now on the pace of its answer counts."""
        self._patience_s = self.sock.gettimeout() or math.inf
        self._waited_s = 0.0
        self._received = 0

    def replace_socket(self, sock: Any) -> None:
        """Go on over another socket (or what behaves so); what came in the clear before TLS is refused."""
        if self._start != self._end:
            raise ProtocolError(
                "the server sent data in the clear after STARTTLS; the connection is not safe"
            )
        self.sock = sock

    def fill(self) -> None:
        """Add one block from the socket to what is buffered; raise SourceUnavailable at its end.

        The socket's timeout limits the wait for one block. A server that sends a byte now and then would
        never exceed it, so whenever we have waited that long in sum, the answer must have kept a pace.
        """
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            self._compact()
        began = self.waits_since = time.monotonic()
        room = len(self._buffer) - self._end
        count = self.sock.recv_into(self._view[self._end :])
        self._waited_s += time.monotonic() - began
        self.waits_since = 0.0
        if count == 0:
            raise SourceUnavailable("the mail server closed the connection")
        self._end += count
        self._received += count
        if count == room and len(self._buffer) < BLOCK_BYTES:
            self._resize(min(2 * len(self._buffer), BLOCK_BYTES))
        if self._waited_s >= self._patience_s:
            self._judge_pace()

    def _judge_pace(self) -> None:
        """Only time spent waiting counts: that we were busy with the mails is not the server's fault."""
        if self._received < PACE_MIN_BYTES_PER_S * self._waited_s:
            raise SourceUnavailable(
                f"the mail server is too slow: {self._received} bytes in {self._waited_s:.1f} s"
            )
        self._waited_s, self._received = 0.0, 0
        self.kept_pace()

    def _compact(self) -> None:
        rest = bytes(self._view[self._start : self._end])
        if len(rest) == len(self._buffer):
            raise ProtocolError(f"the mail server sent a line of more than {len(rest)} bytes")
        self._view[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def line(self) -> bytes:
        """One line with its line end."""
        searched = self._start
        pieces: list[bytes] = []
        length = 0
        while (at := self._buffer.find(b"\n", searched, self._end)) < 0:
            # Long lines leave the buffer piece by piece, so that only LINE_MAX_BYTES limits them.
            pieces.append(bytes(self._view[self._start : self._end]))
            length += self._end - self._start
            if length > LINE_MAX_BYTES:
                raise ProtocolError(f"the mail server sent a line of more than {LINE_MAX_BYTES} bytes")
            self._start = self._end
            self.fill()
            searched = self._start
        pieces.append(bytes(self._view[self._start : at + 1]))
        self._start = at + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes. Memory is taken as the bytes arrive, not as the peer announces them."""
        buffered = self._end - self._start
        if count <= buffered:
            taken = bytes(self._view[self._start : self._start + count])
            self._start += count
            return taken
        pieces: list[bytes] = []
        missing = count
        while missing:
            if self._start == self._end:
                self.fill()
            piece = bytes(self._view[self._start : min(self._end, self._start + missing)])
            self._start += len(piece)
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def piece(self, most: int) -> bytes:
        """The next bytes, at least one and at most `most`: what is here already, or comes next."""
        if self._start == self._end:
            self.fill()
        taken = bytes(self._view[self._start : min(self._end, self._start + most)])
        self._start += len(taken)
        return taken

    def shrink(self) -> None:
        """Give back the memory that a quiet connection does not need."""
        if len(self._buffer) > IDLE_BYTES and self._end - self._start <= IDLE_BYTES:
            self._resize(IDLE_BYTES)

    def _resize(self, size: int) -> None:
        kept = bytes(self._buffer[self._start : self._end])
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._view[: len(kept)] = kept
        self._start, self._end = 0, len(kept)

    def skip(self, count: int) -> None:
        """Read past `count` bytes without keeping them."""
        while count:
            if self._start == self._end:
                self.fill()
            step = min(count, self._end - self._start)
            self._start += step
            count -= step

    def wait(self, timeout_s: float, wake_fd: int) -> bool:
        """Wait until the server says something (True), `wake_fd` is readable or time is up (False)."""
        if self._start != self._end or (hasattr(self.sock, "pending") and self.sock.pending()):
            return True
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(wake_fd, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        ready = {fd for fd, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        return self.sock.fileno() in ready


def check_bye(line: bytes) -> None:
    """Raise SourceUnavailable with the server's reason if it hangs up (RFC 9051 7.1.5)."""
    if line[:6].rstrip().upper() == b"* BYE":
        raise SourceUnavailable(f"the mail server hung up: {shown(line[5:])}")


def shown(line: bytes) -> str:
    """A server's words for a message to an operator."""
    return line.decode("utf-8", "replace").strip()[:300]


class _WiredIMAP4(imaplib.IMAP4):
    """imaplib over our wire, by the methods that its documentation names for overriding."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout_s: float) -> None:
        self._tls = tls
        self._answered = self._lines = 0  # bytes and lines since the last command
        self.sent = 0
        self._leaving = False
        self._connect_timeout_s = connect_timeout_s
        super().__init__(host, port)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        sock = socket.create_connection((host, port), timeout or self._connect_timeout_s)
        # DONE, NOOP, SEARCH are small writes in a row: Nagle would hold each back for a delayed ACK (40 ms).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=host)
        self.wire = Wire(sock)

    @property
    def sock(self) -> socket.socket:
        """The wire's socket; imaplib puts a new one here when STARTTLS has succeeded."""
        return self.wire.sock

    @sock.setter
    def sock(self, sock: socket.socket) -> None:
        self.wire.replace_socket(sock)

    def send(self, data: Any) -> None:  # Buffer, a name that Python has from 3.12 on
        self._answered = self._lines = 0
        self.sent += 1
        self.wire.begin()
        super().send(data)

    def read(self, size: int) -> bytes:
        # Before it is read: a size is a stranger's word, and imaplib keeps all that comes.
        self._count(size)
        return self.wire.take(size)

    def readline(self) -> bytes:
        line = self.wire.line()
        self._count(len(line))
        self._lines += 1
        if self._lines > ANSWER_MAX_LINES:
            raise ProtocolError(f"the mail server sent an answer of more than {ANSWER_MAX_LINES} lines")
        if not self._leaving:
            check_bye(line)
        return line

    def _count(self, size: int) -> None:
        self._answered += size
        if self._answered > ANSWER_MAX_BYTES:
            raise ProtocolError(f"the mail server sent an answer of more than {ANSWER_MAX_BYTES} bytes")

    def logout(self) -> Any:
        self._leaving = True  # BYE is the answer
        return super().logout()

    def shutdown(self) -> None:
        self.sock.close()


class WiredClient(IMAPClient):  # type: ignore[misc] # imapclient ships no types
    """IMAPClient whose socket is read through a `Wire`."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float, connect_timeout_s: float
    ) -> None:
        self._wire_tls = tls
        super().__init__(
            host,
            port,
            ssl=tls is not None,
            ssl_context=tls,
            timeout=SocketTimeout(connect_timeout_s, timeout_s),
        )

    def _create_IMAP4(self) -> _WiredIMAP4:  # noqa: N802 - IMAPClient's name for its one seam
        return _WiredIMAP4(self.host, self.port, self._wire_tls, self._timeout.connect)

    @property
    def wire(self) -> Wire:
        """What the FETCH reader reads from."""
        return self._imap.wire  # type: ignore[no-any-return]

    @property
    def commands(self) -> int:
        """How many lines were sent: the commands, and DONE after each IDLE."""
        return self._imap.sent  # type: ignore[no-any-return]

    def take_news(self) -> bool:
        """Whether an answer that IMAPClient has read also brought an EXISTS; forgets all that came.

        imaplib keeps each flag update that came with an answer, and would do so as long as the connection.
        """
        news = "EXISTS" in self._imap.untagged_responses
        self._imap.untagged_responses.clear()
        return news

    def send_command(self, text: str) -> bytes:
        """Send a command of ASCII text, return its tag. The caller reads the whole answer from `wire`."""
        imap = self._imap
        tag: bytes = imap._new_tag()  # noqa: SLF001 - imaplib numbers the tags, we must not reuse one
        imap.tagged_commands.pop(tag)  # imaplib would wait for an answer that we read
        self.send_line(b"%s %s" % (tag, text.encode("ascii")))
        return tag

    def send_line(self, line: bytes) -> None:
        """Send one line as it is."""
        self._imap.send(line + b"\r\n")
