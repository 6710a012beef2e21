"""Mails as an mbox, and what a mail server would give out for each."""

import re
from collections.abc import Iterable

LINE = b"From someone@example.org Thu Aug  4 14:46:24 2011\n"


def mail(number: int, size: int = 200) -> bytes:
    """A mail as it comes over IMAP."""
    body = b"From here on: %d\r\n" % number + b"0123456789\r\n" * (size // 12)
    return b"From: Ann <ann@example.org>\r\nSubject: mail %d\r\n\r\n" % number + body


def mbox(mails: Iterable[bytes]) -> bytes:
    """These mails as an mboxrd with the line ends of Unix."""
    return b"".join(LINE + _quoted(each) + b"\n" for each in mails)


def takeout(mails: Iterable[tuple[int, bytes]], labels: bytes = b"Inbox,Opened") -> bytes:
    """These mails, by their X-GM-MSGID, as Google Takeout writes them."""
    return b"".join(
        b"From %d@xxx Thu Aug 04 14:46:24 +0000 2011\nX-GM-THRID: %d\nX-Gmail-Labels: %b\n"
        % (number, number, labels)
        + _quoted(each)
        + b"\n"
        for number, each in mails
    ).replace(b"\n", b"\r\n")


def _quoted(each: bytes) -> bytes:
    return re.sub(rb"^(>*From )", rb">\1", each.replace(b"\r\n", b"\n"), flags=re.MULTILINE)
