"""News that a server tells once, at an awkward moment, are not missed."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastmail_ingest.config import Account
from fastmail_ingest.source.mailbox import Connection

Answer = Callable[[bytes], bytes]


@contextmanager
def scripted_server(answers: dict[bytes, bytes]) -> Iterator[int]:
    """A server that answers each command by its word: what stands here, then the tagged OK."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"* OK hello\r\n")
            for line in lines:
                tag, word = re.match(rb"(\S+) (?:UID )?(\w+)", line).groups()
                connection.sendall(answers.get(word.upper(), b"") + tag + b" OK done\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()


SCRIPT = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
    b"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 2] x\r\n",
}


def connection(port: int) -> Connection:
    account = Account(name="a", host="127.0.0.1", port=port, tls="off", user="u", password="p")
    return Connection(account, 10.0, 1 << 20)


def test_a_mail_that_comes_during_a_search_is_news() -> None:
    with scripted_server(SCRIPT | {b"SEARCH": b"* SEARCH 1\r\n* 2 EXISTS\r\n"}) as port:
        source = connection(port)
        source.examine("INBOX")
        assert source.uids_above(0) == [1]
        assert source.news
        source.close()


def test_a_search_without_news_brings_none() -> None:
    with scripted_server(SCRIPT | {b"SEARCH": b"* SEARCH 1\r\n", b"NOOP": b"* 2 EXISTS\r\n"}) as port:
        source = connection(port)
        source.examine("INBOX")
        source.look()
        assert source.news
        assert source.uids_above(0) == [1]
        assert not source.news
        assert source.uids_above(1) == []
        source.close()
