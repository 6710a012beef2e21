"""A server that plays a script instead of speaking IMAP: whatever a stranger may find at a port."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

Play = Callable[["Stage"], None]


class Stage:
    """One connection, for the script that is played on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("rb")

    def say(self, *lines: bytes) -> None:
        self._sock.sendall(b"".join(line + b"\r\n" for line in lines))

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def hear(self) -> tuple[bytes, bytes]:
        """The tag and the rest of the next command."""
        tag, _, rest = self._lines.readline().rstrip(b"\r\n").partition(b" ")
        if not tag:
            raise ConnectionResetError
        return tag, rest

    def wait_for_the_end(self) -> None:
        while self._lines.readline():
            pass

    def log_in(self, capabilities: bytes = b"IMAP4rev1 IDLE") -> None:
        """Be an ordinary server until the client is logged in and its capabilities are known."""
        self.say(b"* OK hello")
        while True:
            tag, command = self.hear()
            verb = command.split(b" ")[0].upper()
            if verb == b"CAPABILITY":
                self.say(b"* CAPABILITY " + capabilities)
            self.say(tag + b" OK done")
            if verb == b"LOGIN":
                tag, _ = self.hear()
                self.say(b"* CAPABILITY " + capabilities, tag + b" OK done")
                return

    def examine(self, *untagged: bytes, exists: int = 1) -> None:
        """Answer the EXAMINE that comes."""
        tag, command = self.hear()
        assert command.upper().startswith(b"EXAMINE"), command
        self.say(b"* %d EXISTS" % exists, b"* OK [UIDVALIDITY 7] ok", b"* OK [UIDNEXT %d] ok" % (exists + 1))
        self.say(*untagged, tag + b" OK [READ-ONLY] done")


@contextmanager
def scripted(play: Play, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen on loopback and play the script on each connection; yields the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        try:
            with closing(tls.wrap_socket(sock, server_side=True) if tls else sock) as ours:
                play(Stage(ours))
        except (OSError, ValueError):
            pass  # the client has gone, as it should

    def accept() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
