"""A mail that its server tells of, but whose body does not come: gone, or not given out."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from fastmail_ingest.config import Account
from fastmail_ingest.errors import FetchRefused
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.mailbox import Connection

FLAGS_ONLY = b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n"
NIL = b"* 2 FETCH (UID 2 FLAGS () BODY[] NIL)\r\n"
WHOLE = b"* 2 FETCH (UID 2 FLAGS () BODY[] {3}\r\ntwo)\r\n"


def one(number: int, raw: bytes) -> bytes:
    return b"* %d FETCH (UID %d FLAGS () BODY[] {%d}\r\n%s)\r\n" % (number, number, len(raw), raw)


class Server:
    """Answers a FETCH of the mails 1 to 3; whether mail 2 is still there a SEARCH tells."""

    def __init__(self, second: bytes, *, there: bool) -> None:
        self.second, self.there = second, there
        self.searches: list[bytes] = []

    def answer(self, line: bytes) -> bytes:
        if b"EXAMINE" in line:
            return b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4] x\r\n"
        if b"CAPABILITY" in line:
            return b"* CAPABILITY IMAP4rev1\r\n"
        if b"SEARCH" in line:
            self.searches.append(re.sub(rb"^\S+ ", b"", line).strip())
            return b"* 4 EXISTS\r\n* SEARCH 1%b 3\r\n" % (b" 2" if self.there else b"")
        return one(1, b"one") + self.second + one(3, b"three") if b"FETCH" in line else b""


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"* OK hello\r\n")
            for line in lines:
                connection.sendall(server.answer(line) + line.split()[0] + b" OK done\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    account = Account(name="a", host="127.0.0.1", port=port, tls="off", user="u", password="p")
    with listener, closing(Connection(account, 10.0, 1 << 20)) as source:
        source.examine("INBOX")
        yield source
    thread.join()


@pytest.mark.parametrize("second", [FLAGS_ONLY, NIL])
def test_a_mail_that_is_there_and_does_not_come_is_not_passed_over(second: bytes) -> None:
    with connected(Server(second, there=True)) as source:
        given = source.fetch(Window(1, 3))
        assert [next(given).raw, next(given).raw] == [b"one", b"three"]
        with pytest.raises(FetchRefused, match="UID 2"):
            next(given)
        # The connection is good.
        assert source.uids_above(2) == [3]


@pytest.mark.parametrize("second", [FLAGS_ONLY, NIL])
def test_a_mail_that_is_gone_is_passed_over(second: bytes) -> None:
    with connected(Server(second, there=False)) as source:
        assert [mail.raw for mail in source.fetch(Window(1, 3))] == [b"one", b"three"]
        assert source.news, "what the server told meanwhile is not forgotten"


@pytest.mark.parametrize(
    "second", [WHOLE + FLAGS_ONLY, FLAGS_ONLY + WHOLE, FLAGS_ONLY.replace(b"UID 2", b"UID 9") + WHOLE]
)
def test_a_flag_update_of_a_mail_that_comes_asks_for_nothing(second: bytes) -> None:
    server = Server(second, there=True)
    with connected(server) as source:
        assert [mail.raw for mail in source.fetch(Window(1, 3))] == [b"one", b"two", b"three"]
    assert server.searches == []
