"""SEARCH and UID SEARCH, also in the extended form of RFC 4731: `RETURN (MIN MAX COUNT ALL)`."""

import calendar
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Mail
from fastmail_ingest.simulator.messages import selected
from fastmail_ingest.simulator.parser import Token, name_of, quoted, text_at, words_of
from fastmail_ingest.simulator.session import Session
from fastmail_ingest.simulator.uidset import UidSet, compact

Test: TypeAlias = Callable[[Mail], bool]

_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
_MONTHS = {name.encode(): at for at, name in enumerate(calendar.month_abbr) if name}
_RETURN = (b"MIN", b"MAX", b"COUNT", b"ALL")
_SECONDS_A_DAY = 86400
_FLAG_KEYS = {
    f"{prefix}{flag}".upper().encode(): (f"\\{flag}", not prefix)
    for flag in ("Seen", "Answered", "Flagged", "Deleted", "Draft")
    for prefix in ("", "Un")
}


async def search(session: Session, args: list[Token]) -> bytes:
    """SEARCH keys: answers sequence numbers."""
    return _search(session, args, by_uid=False)


async def uid_search(session: Session, args: list[Token]) -> bytes:
    """UID SEARCH keys: answers UIDs."""
    return _search(session, args, by_uid=True)


def _search(session: Session, args: list[Token], *, by_uid: bool) -> bytes:
    selected(session)
    keys = args.copy()
    wanted = _take_return(keys)
    if keys and keys[0] == b"CHARSET":
        del keys[:2]
    if not keys:
        raise ProtocolError("SEARCH wants a key")
    indices = _matching(session, keys)
    numbers = [session.view[at] for at in indices] if by_uid else [at + 1 for at in indices]
    if wanted is None:
        session.send(b" ".join([b"* SEARCH", *(b"%d" % number for number in numbers)]))
    else:
        session.send(_extended(session.tag, numbers, wanted, by_uid=by_uid))
    return b"OK SEARCH completed"


def _take_return(keys: list[Token]) -> list[bytes] | None:
    if not keys or not isinstance(keys[0], bytes) or keys[0].upper() != b"RETURN":
        return None
    if len(keys) < 2 or not isinstance(keys[1], list):
        raise ProtocolError("RETURN wants a list")
    wanted = [word.upper() for word in words_of(keys[1])] or [b"ALL"]
    if any(word not in _RETURN for word in wanted):
        raise ProtocolError("unknown RETURN option")
    del keys[:2]
    return wanted


def _extended(tag: bytes, numbers: Sequence[int], wanted: list[bytes], *, by_uid: bool) -> bytes:
    parts = [b"* ESEARCH (TAG %s)" % quoted(name_of(tag))]
    if by_uid:
        parts.append(b"UID")
    for word in wanted:
        if word == b"COUNT":
            parts.append(b"COUNT %d" % len(numbers))
        elif numbers:  # the others are left out when nothing matches (RFC 4731 3.1)
            values = {b"MIN": b"%d" % numbers[0], b"MAX": b"%d" % numbers[-1]}
            parts.append(b"%s %s" % (word, values.get(word) or compact(numbers)))
    return b" ".join(parts)


def _matching(session: Session, keys: list[Token]) -> list[int]:
    """The places in view that match all keys, rising."""
    mailbox = selected(session)
    places: set[int] | None = None
    tests: list[Test] = []
    at = 0
    while at < len(keys):
        key = text_at(keys, at).upper()
        at += 1
        if key == b"UID" or key[:1].isdigit() or key[:1] == b"*":
            at += key == b"UID"
            numbers = session.view if key == b"UID" else range(1, len(session.view) + 1)
            some = set(UidSet.parse(text_at(keys, at - 1)).indices(numbers))
            places = some if places is None else places & some
        elif key in (b"SINCE", b"BEFORE", b"ON"):
            tests.append(_date_test(key, text_at(keys, at)))
            at += 1
        elif key in _FLAG_KEYS:
            tests.append(_flag_test(*_FLAG_KEYS[key]))
        elif key != b"ALL":
            raise ProtocolError("unknown SEARCH key " + key[:32].decode("ascii", "replace"))
    candidates = range(len(session.view)) if places is None else sorted(places)
    if not tests:
        return list(candidates)
    found = ((place, mailbox.find(session.view[place])) for place in candidates)
    return [place for place, mail in found if mail is not None and all(test(mail) for test in tests)]


def _flag_test(flag: str, present: bool) -> Test:
    return lambda mail: (flag in mail.flags) is present


def _date_test(key: bytes, text: bytes) -> Test:
    """Compares the day of the internal date in UTC, disregarding the time (RFC 3501 6.4.4)."""
    found = _DATE.fullmatch(text)
    month = _MONTHS.get(found[2].title()) if found is not None else None
    if found is None or month is None:
        raise ProtocolError("not a date")
    start = calendar.timegm((int(found[3]), month, int(found[1]), 0, 0, 0))
    end = start + _SECONDS_A_DAY
    if key == b"SINCE":
        return lambda mail: mail.internal_date >= start
    if key == b"BEFORE":
        return lambda mail: mail.internal_date < start
    return lambda mail: start <= mail.internal_date < end
