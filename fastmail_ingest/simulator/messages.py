"""Commands that change mails: APPEND, STORE, EXPUNGE."""

import calendar
import re
import time

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Mailbox, mail_of
from fastmail_ingest.simulator.parser import Token, name_of, text_at, words_of
from fastmail_ingest.simulator.session import Session
from fastmail_ingest.simulator.uidset import UidSet

_READ_ONLY = b"NO [READ-ONLY] the mailbox is read-only"
_STORE = re.compile(rb"([+-]?)FLAGS(\.SILENT)?")
_DATE = re.compile(
    r"(?P<when>[ \d]\d-[A-Za-z]{3}-\d{4} \d\d:\d\d:\d\d) (?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>\d\d)"
)
_MONTHS = {name: at for at, name in enumerate(calendar.month_abbr) if name}


def selected(session: Session) -> Mailbox:
    """The selected mailbox; raises ProtocolError if there is none."""
    if session.mailbox is None:
        raise ProtocolError("no mailbox selected")
    return session.mailbox


async def append(session: Session, args: list[Token]) -> bytes:
    """APPEND mailbox [(flags)] [date-time] literal."""
    if len(args) < 2 or session.account is None:
        raise ProtocolError("APPEND wants a mailbox and a message")
    mailbox = session.account.mailbox(name_of(text_at(args, 0)))
    if mailbox is None:
        return b"NO [TRYCREATE] no such mailbox"
    options, raw = args[1:-1], text_at(args, len(args) - 1)
    flags: frozenset[str] = frozenset()
    if options and isinstance(options[0], list):
        flags = frozenset(map(name_of, words_of(options.pop(0))))
    date = parse_date_time(text_at(options, 0)) if options else time.time()
    mail = mailbox.append(mail_of(raw, flags=flags, internal_date=date))
    return b"OK [APPENDUID %d %d] APPEND completed" % (mailbox.uid_validity, mail.uid)


def parse_date_time(text: bytes) -> float:
    """Epoch seconds of an IMAP date-time such as ` 7-Feb-2024 21:52:25 -0800`; raises ProtocolError."""
    found = _DATE.fullmatch(text.decode("ascii", "replace"))
    if found is None:
        raise ProtocolError("not a date-time")
    day, month, rest = found["when"].split("-", 2)
    year, clock = rest.split(" ")
    hour, minute, second = map(int, clock.split(":"))
    if month.title() not in _MONTHS:
        raise ProtocolError("not a month")
    utc = calendar.timegm((int(year), _MONTHS[month.title()], int(day), hour, minute, second))
    ahead = (int(found["hours"]) * 60 + int(found["minutes"])) * 60
    return float(utc - ahead if found["sign"] == "+" else utc + ahead)


async def store(session: Session, args: list[Token]) -> bytes:
    """STORE sequence-set [+-]FLAGS[.SILENT] flags."""
    return _store(session, args, by_uid=False)


async def uid_store(session: Session, args: list[Token]) -> bytes:
    """UID STORE uid-set [+-]FLAGS[.SILENT] flags."""
    return _store(session, args, by_uid=True)


def _store(session: Session, args: list[Token], *, by_uid: bool) -> bytes:
    mailbox = selected(session)
    how = _STORE.fullmatch(text_at(args, 1).upper())
    if how is None or len(args) < 3:
        raise ProtocolError("STORE wants a set, FLAGS and the flags")
    if session.read_only:
        return _READ_ONLY
    flags = frozenset(name_of(word) for token in args[2:] for word in words_of(token))
    numbers = session.view if by_uid else range(1, len(session.view) + 1)
    for at in UidSet.parse(text_at(args, 0)).indices(numbers):
        mail = mailbox.find(session.view[at])
        if mail is None:
            continue
        flags_now = _combined(mail.flags, how[1], flags)
        if flags_now != mail.flags:
            mailbox.set_flags(mail, flags_now)
            session.count_flags(1)
        session.forget_flagged(mail.uid)
        if not how[2]:
            session.send(session.flags_line(mail.uid))
    return b"OK STORE completed"


def _combined(old: frozenset[str], sign: bytes, flags: frozenset[str]) -> frozenset[str]:
    if sign == b"+":
        return old | flags
    return old - flags if sign == b"-" else flags


async def expunge(session: Session, _args: list[Token]) -> bytes:
    r"""EXPUNGE: remove all \Deleted mails."""
    if session.read_only:
        return _READ_ONLY
    expunge_deleted(session, None)
    return b"OK EXPUNGE completed"


async def uid_expunge(session: Session, args: list[Token]) -> bytes:
    r"""UID EXPUNGE uid-set (RFC 4315): remove the \Deleted mails of the set."""
    if session.read_only:
        return _READ_ONLY
    expunge_deleted(session, UidSet.parse(text_at(args, 0)))
    return b"OK EXPUNGE completed"


def expunge_deleted(session: Session, among: UidSet | None) -> None:
    r"""Remove the \Deleted mails, all or those of the set; the sessions hear of it as listeners."""
    mailbox = selected(session)
    mails = mailbox.mails if among is None else mailbox.select(among)
    for uid in [mail.uid for mail in mails if r"\Deleted" in mail.flags]:
        mailbox.expunge(uid)
