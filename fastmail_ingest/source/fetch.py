"""The answer to a FETCH, read as it streams in (RFC 9051 7.5.2).

A mail's size is a stranger's word. If it is wrong, the literal ends in the middle of a mail, or swallows
the beginning of the next response, and one mail could pass for another. So nothing is skipped in the hope
of finding the thread again: each byte between two literals must be what the grammar allows, and a mail
is given away only when what follows its response is the server's own voice again.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from fastmail_ingest.errors import FetchRefused, ProtocolError, SourceUnavailable
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.large import TRUNCATED_KEEP_BYTES, Large, sizes
from fastmail_ingest.source.response import read_response
from fastmail_ingest.source.swallow import seems_to_swallow
from fastmail_ingest.source.wire import Wire, check_bye, shown

__all__ = ["TRUNCATED_KEEP_BYTES", "check_status", "read_fetch", "seems_to_swallow"]

TALK_MAX_LINES = 50_000  # flag updates and news in a row; no window has so many mails
_RESPONSE = re.compile(rb"\* (\d{1,10}) FETCH \(", re.IGNORECASE)
# What servers say by themselves (RFC 9051 7). Mails have lines that begin with "* ", too: a list of things.
_OWN_VOICE = re.compile(
    rb"\* (?:\d{1,10} (?:EXISTS|RECENT|EXPUNGE)"
    rb"|(?:OK|NO|BAD|BYE|FLAGS|VANISHED|CAPABILITY)(?: [^\r\n]*)?)\r\n\Z",
    re.IGNORECASE,
)
_STATUS = re.compile(rb"(?:OK|NO|BAD)\b", re.IGNORECASE)

OnOther: TypeAlias = Callable[[bytes], object]
"""Hears of the lines that are no FETCH. True for a tagged one of another command says that it is expected."""

TakesAway: TypeAlias = Callable[[Fetched, bool], bool]
"""Is asked about a mail that may have swallowed others, or may be cut: the second argument says that what
follows is no word of a server's that we know. True if the mail shall not be given away.
"""


def _refuses(_: Fetched, unknown_follows: bool) -> bool:
    if unknown_follows:
        raise ProtocolError("what follows a mail is no answer to FETCH: its size may be wrong")
    return False


def read_fetch(
    wire: Wire,
    tag: bytes,
    max_mail: int,
    on_other: OnOther,
    takes_away: TakesAway = _refuses,
    large: Large | None = None,
) -> Iterator[Fetched]:
    """Yield the mails of one FETCH command until its tagged OK.

    A mail above `max_mail` bytes keeps only its beginning and is marked `truncated`, one that `large` is for
    comes as a draft. Other untagged lines go to `on_other`. Raises SourceUnavailable for NO, BYE or a lost
    connection, ProtocolError for BAD and for what is no IMAP: the mails yielded before are good in any case.
    """
    tagged, limits = tag + b" ", sizes(max_mail, large)
    held: Fetched | None = None  # a mail that is good if what follows is
    mail: Fetched | None = None  # the one before, when it is known what follows
    number = talk = 0  # the sequence number of the last response; lines since the last body
    try:
        while (talk := talk + 1) <= TALK_MAX_LINES:
            line = wire.line()
            mail, held = held, None
            if found := _RESPONSE.match(line):
                last, number = number, int(found[1])
                # Mails come one after the other. One that has swallowed others is followed by a gap.
                if mail is not None and (number == last + 1 or not takes_away(mail, False)):
                    yield mail
                held = read_response(wire, line, limits)
                talk = 0 if held is not None and held.raw is not None else talk
            elif line.startswith(tagged):
                if mail is not None and _STATUS.match(line, len(tagged)) and not takes_away(mail, False):
                    yield mail
                check_status("FETCH", line[len(tagged) :])
                return
            else:
                unknown = _is_unknown(line, on_other)
                if mail is not None and not takes_away(mail, unknown):
                    yield mail
                check_bye(line)
        raise ProtocolError(f"the mail server said {TALK_MAX_LINES} things and gave no mail")
    except BaseException:
        _discard(mail, held)
        raise


def _is_unknown(line: bytes, on_other: OnOther) -> bool:
    """Whether this is no word of a server's that we know; raises ProtocolError if it can be none at all."""
    known = on_other(line)
    if line.startswith(b"* "):
        return not _OWN_VOICE.match(line)
    if not known:
        raise ProtocolError(f"unexpected answer to FETCH: {shown(line[:40])!r}")
    return False


def _discard(*mails: Fetched | None) -> None:
    for mail in filter(None, mails):
        mail.discard()


def check_status(command: str, text: bytes) -> None:
    """Raise what a tagged answer without its tag means, unless it is OK."""
    word = text[:3].upper().rstrip()
    if word == b"OK":
        return
    if word == b"NO":
        kind = FetchRefused if command == "FETCH" else SourceUnavailable
        raise kind(f"the mail server refused {command}: {shown(text[2:])}")
    raise ProtocolError(f"the mail server answered {command} with {shown(text)}")
