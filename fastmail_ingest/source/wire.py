"""One buffer between the socket and everybody who reads from it.

imaplib keeps a buffered file of its own; a second reader on the same socket would miss what that
file has already taken. So imaplib's documented hooks (open, read, readline, shutdown) are pointed
here, and the FETCH reader takes large blocks from the same buffer.
"""

import imaplib
import select
import socket
import ssl
import time

from imapclient import IMAPClient, SocketTimeout

from fastmail_ingest.errors import ProtocolError, SourceUnavailable

BLOCK_BYTES = 512 * 1024
LINE_MAX_BYTES = 16 * 1024 * 1024  # a SEARCH answer of a mailbox with two million mails


class Wire:
    """Buffered reading from a socket that may be replaced (STARTTLS)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray(BLOCK_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0

    def replace_socket(self, sock: socket.socket) -> None:
        """Go on over another socket; whatever came in the clear before TLS is refused."""
        if self._start != self._end:
            raise ProtocolError(
                "the server sent data in the clear after STARTTLS; the connection is not safe"
            )
        self.sock = sock

    def fill(self) -> None:
        """Add one block from the socket to what is buffered; raise SourceUnavailable at its end."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            self._compact()
        count = self.sock.recv_into(self._view[self._end :])
        if count == 0:
            raise SourceUnavailable("the mail server closed the connection")
        self._end += count

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
        if self._start != self._end or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return True
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(wake_fd, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        ready = {fd for fd, _ in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        return self.sock.fileno() in ready


class _WiredIMAP4(imaplib.IMAP4):
    """imaplib over our wire, by the methods that its documentation names for overriding."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout_s: float) -> None:
        self._tls = tls
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

    def read(self, size: int) -> bytes:
        return self.wire.take(size)

    def readline(self) -> bytes:
        return self.wire.line()

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

    def take_news(self) -> bool:
        """Whether a command that IMAPClient read the answer of also brought an EXISTS; forgets it."""
        return self._imap.untagged_responses.pop("EXISTS", None) is not None

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
