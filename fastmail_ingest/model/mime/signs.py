"""What headers tell of how a mail came to be: from a program, to many, back from a server, in a thread."""

import re

from multidict import CIMultiDictProxy

_BULK = frozenset({"bulk", "list", "junk"})
_FIRST_WORD = re.compile(r"\s*([\w-]+)")
_DELAYED = re.compile(r"(?i)\bdelay|\bwarning: could not send\b")
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")


def is_auto_submitted(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a program sent it by itself: RFC 3834, 5, and older signs; reports and receipts (RFC 6522)."""
    if submitted := _FIRST_WORD.match(headers.get("Auto-Submitted", "")):
        return submitted[1].lower() != "no"
    return (
        has_null_path(headers)
        or headers.get("Precedence", "").strip().lower() in ("auto_reply", "junk")
        or any(name in headers for name in ("X-Autoreply", "X-Autorespond"))
        or headers.get("Content-Type", "").lower().startswith("multipart/report")
    )


def is_bulk(headers: CIMultiDictProxy[str]) -> bool:
    """Whether it went to many: a mailing list (RFC 2919), a newsletter (RFC 2369), Precedence."""
    return headers.get("Precedence", "").strip().lower() in _BULK or any(
        name in headers for name in ("List-Id", "List-Post", "List-Unsubscribe")
    )


def is_bounce_in_words(headers: CIMultiDictProxy[str], sender: str) -> bool:
    """Whether a server without RFC 3464 says that a mail did not arrive, and not only that it waits."""
    if "X-Failed-Recipients" in headers:  # Exim, Gmail
        return True
    if _DELAYED.search(headers.get("Subject", "")):
        return False
    who = sender.partition("@")[0].lower()
    return who == "mailer-daemon" or (has_null_path(headers) and who in ("postmaster", ""))


def has_null_path(headers: CIMultiDictProxy[str]) -> bool:
    """Whether nobody wants to hear of its fate (RFC 5321, 4.5.5): a server sent it."""
    return headers.get("Return-Path", "").strip() == "<>"


def message_ids(value: str) -> list[str]:
    """Those in angle brackets (RFC 5322, 3.6.4), or, if a program left them out, the words with an @."""
    return _MESSAGE_ID.findall(value) or [word for word in value.split() if "@" in word]
