"""Mails for the handlers that keep them, and processes that die while they do."""

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from fastmail_ingest.model.classification import CLASSIFICATION, Classification
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.mailbox import MailboxKey
from support.stream_world import envelope

PLAIN = (
    b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>, c@example.com\r\nCc: d@example.com\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.org>\r\n"
    b"Date: Mon, 6 Jan 2025 10:00:00 +0200\r\n\r\nHello Bob\r\n"
)
WITH_ATTACHMENT = (
    b"From: ann@example.org\r\nSubject: two\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n'
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"
)
# NUL in header and text, a zone that PostgreSQL does not take, bytes that are no UTF-8.
HOSTILE = (
    b"From: ann@example.org\r\nSubject: a\0b \xed\xa0\x80\r\nDate: Mon, 1 Jan 2024 00:00:00 +2359\r\n"
    b"Content-Type: text/plain; charset=utf-16\r\n\r\n\x00\xd8x\0\0\0\r\n"
)


def mail(uid: int, raw: bytes = PLAIN, attempt: int = 1, mailbox: str = "INBOX") -> Email:
    made = envelope(f"a:{mailbox}:7:{uid}", MailboxKey("a", mailbox), 7, uid, raw)
    return Email(made, attempt)


CLASSIFIED = {"priority": "high", "categories": ["orders"], "words": ["my order"], "problems": []}


def classified(uid: int) -> Email:
    """A mail as it is behind `classify`."""
    made = mail(uid)
    made.notes[CLASSIFICATION] = Classification("high", ("orders",), ("my order",), ())
    return made


def deaths(call: Callable[[Path], None], base: Path, patch: tuple[object, str]) -> Iterator[Path]:
    """Run `call` again and again, each time in a new directory and in a process that dies at a later point.

    The points are the calls of what `patch` names; it dies just before one takes effect. Yields what each
    death left behind, and ends with a process that lived.
    """
    for point in count():
        directory = base / str(point)
        directory.mkdir()
        if not _dies_at(point, lambda place=directory: call(place), patch):  # type: ignore[misc]
            assert point, "it was never killed"
            return
        yield directory


def _dies_at(point: int, call: Callable[[], None], patch: tuple[object, str]) -> bool:
    pid = os.fork()
    if pid == 0:
        left = iter(range(point, -1, -1))
        owner, name = patch
        really = getattr(owner, name)

        def counted(*args: object) -> object:
            if next(left, None) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return really(*args)

        setattr(owner, name, counted)
        try:
            call()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "it raised"
        return False
    return True
