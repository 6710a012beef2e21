"""A size that is wrong by just so much that no grammar shows it, and a mail that only looks as if it was."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from fastmail_ingest.config import Account
from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.mailbox import Connection

RAWS = [b"one", b"two two", b"three"]


class Liar:
    """Announces for mail 1, the first `lies` times, a size that ends just before the ")" of mail 2."""

    def __init__(self, raws: list[bytes], lies: int) -> None:
        self.fetches: list[bytes] = []
        self._raws = raws
        self._lies = lies

    def answer(self, line: bytes) -> bytes:
        if b"EXAMINE" in line:
            return b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4] x\r\n"
        if b"CAPABILITY" in line:
            return b"* CAPABILITY IMAP4rev1\r\n"
        asked = re.search(rb"UID FETCH (\d+):(\d+)", line)
        if asked is None:
            return b""
        self.fetches.append(asked[0])
        uids = range(int(asked[1]), int(asked[2]) + 1)
        parts = [self._response(uid) for uid in uids]
        if uids[0] == 1 and len(self.fetches) <= self._lies:
            swallowed = len(self._response(2)) if len(uids) > 1 else 0
            parts[0] = self._response(1, len(self._raws[0]) + swallowed)
        return b"".join(parts)

    def _response(self, uid: int, size: int = 0) -> bytes:
        raw = self._raws[uid - 1]
        return b"* %d FETCH (UID %d FLAGS () BODY[] {%d}\r\n%s)\r\n" % (uid, uid, size or len(raw), raw)


@contextmanager
def connected(liar: Liar) -> Iterator[Connection]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"* OK hello\r\n")
            for line in lines:
                connection.sendall(liar.answer(line) + line.split()[0] + b" OK done\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    account = Account(name="a", host="127.0.0.1", port=port, tls="off", user="u", password="p")
    with listener, closing(Connection(account, 10.0, 1 << 20)) as source:
        source.examine("INBOX")
        yield source
    thread.join()


def test_a_mail_that_has_swallowed_another_is_not_given_away() -> None:
    liar = Liar(RAWS, lies=1)
    with connected(liar) as source:
        fetch = source.fetch(Window(1, 3))
        assert next(fetch).raw == RAWS[2]
        with pytest.raises(SourceUnavailable, match="UID 1"):
            next(fetch)
        assert {mail.uid: mail.raw for mail in source.fetch(Window(1, 3))} == {
            1: b"one",
            2: b"two two",
            3: b"three",
        }


def test_a_mail_about_imap_is_looked_at_twice_and_given_away_once() -> None:
    about = b"It said:\r\n* 1 FETCH (UID 1 BODY[] {3}\r\none)\r\n* 2 FETCH (UID 2 BODY[] {7}\r\ntwo two"
    liar = Liar([about, about, about], lies=0)
    with connected(liar) as source:
        assert sorted((mail.uid, mail.raw) for mail in source.fetch(Window(1, 3))) == [
            (1, about),
            (2, about),
            (3, about),
        ]
    assert liar.fetches == [b"UID FETCH 1:3", b"UID FETCH 3:3"], "only where the numbers leave it open"
