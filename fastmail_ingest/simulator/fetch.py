"""FETCH and UID FETCH. The items are compiled once a command, so that a mail costs microseconds."""

import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

import msgspec

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Mail, Mailbox
from fastmail_ingest.simulator.messages import selected
from fastmail_ingest.simulator.parser import Token, name_bytes, text_at, words_of
from fastmail_ingest.simulator.session import Session
from fastmail_ingest.simulator.uidset import UidSet

BLOCK_BYTES = 256 * 1024
BLOCK_MAILS = 250  # of four parts each: below the 1,024 parts that one writev takes
_MACROS = {b"FAST": [b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"]}
_BODY = re.compile(
    rb"BODY(?P<peek>\.PEEK)?\[(?P<section>[^\]]*)\](?:<(?P<start>\d{1,10})\.(?P<count>\d{1,10})>)?",
    re.IGNORECASE,
)
_FIELDS = re.compile(rb"HEADER\.FIELDS \(([^()]+)\)", re.IGNORECASE)
_OLD_NAMES = {b"RFC822": b"BODY[]", b"RFC822.HEADER": b"BODY.PEEK[HEADER]", b"RFC822.TEXT": b"BODY[TEXT]"}
_SECONDS_A_DAY = 86400

Word = Callable[[Mail, int], bytes]
"""Renders a short item from a mail and its size (0 unless the plan asks for it)."""

Pieces = Callable[[bytes, bytes], tuple[bytes, ...]]
"""Cuts a section out of a mail's head and body; the pieces are sent without being joined."""


class Literal(msgspec.Struct, frozen=True):
    """A body item: the name in the response, and what it shows."""

    name: bytes
    pieces: Pieces


class Plan(msgspec.Struct):
    r"""What one FETCH renders of each mail; `marks_seen` is what a BODY[] without PEEK does."""

    words: list[Word] = []
    literals: list[Literal] = []
    needs_content: bool = False
    marks_seen: bool = False

    def render(self, out: list[bytes], sequence: int, mail: Mail) -> int:
        """Append the response of one mail to `out`; returns about how many bytes that are."""
        head, body = mail.render() if self.needs_content else (b"", b"")
        size = len(head) + len(body)
        text = b"* %d FETCH (" % sequence + b" ".join([word(mail, size) for word in self.words])
        sent, gap = 0, b" " if self.words else b""
        for literal in self.literals:
            pieces = literal.pieces(head, body)
            length = sum(map(len, pieces))
            out.append(b"%s%s%s {%d}\r\n" % (text, gap, literal.name, length))
            out += pieces
            sent += length
            text, gap = b"", b" "
        out.append(text + b")\r\n")
        return sent + 64


class Request(msgspec.Struct):
    """One FETCH command: what is wanted, and of which mails, by their places in the session's view."""

    mailbox: Mailbox
    plan: Plan
    places: Iterator[int]


async def fetch(session: Session, args: list[Token]) -> bytes:
    """FETCH sequence-set items."""
    return await _fetch(session, args, by_uid=False)


async def uid_fetch(session: Session, args: list[Token]) -> bytes:
    """UID FETCH uid-set items; the UID is in every response (RFC 3501 6.4.8)."""
    return await _fetch(session, args, by_uid=True)


async def _fetch(session: Session, args: list[Token], *, by_uid: bool) -> bytes:
    request = request_of(session, args, by_uid=by_uid)
    while await _send_block(
        session, request.mailbox, request.plan, list(islice(request.places, BLOCK_MAILS))
    ):
        pass
    return b"OK FETCH completed"


def request_of(session: Session, args: list[Token], *, by_uid: bool) -> Request:
    """Read the arguments of a FETCH; raises ProtocolError for what is not served."""
    mailbox = selected(session)
    numbers = session.view if by_uid else range(1, len(session.view) + 1)
    uid_set = UidSet.parse(text_at(args, 0))
    if len(args) != 2:
        raise ProtocolError("FETCH wants a set and items")
    plan = compile_plan(words_of(args[1]), session, mailbox, by_uid=by_uid)
    return Request(mailbox, plan, uid_set.indices(numbers))


async def _send_block(session: Session, mailbox: Mailbox, plan: Plan, block: list[int]) -> bool:
    """Send these mails, in writes of about BLOCK_BYTES; false if there are none."""
    out: list[bytes] = []
    size = 0
    for at in block:
        mail = mailbox.find(session.view[at])
        if mail is None:  # expunged meanwhile: an OK without its data is what real servers answer
            continue
        if plan.marks_seen and not session.read_only and r"\Seen" not in mail.flags:
            _mark_seen(session, mailbox, mail)
        size += plan.render(out, at + 1, mail)
        session.tally.fetched += 1
        if size >= BLOCK_BYTES:
            session.wire.send(out)
            await session.wire.drain()
            out, size = [], 0
    if out:
        session.wire.send(out)
        await session.wire.drain()
    return bool(block)


def _mark_seen(session: Session, mailbox: Mailbox, mail: Mail) -> None:
    mailbox.set_flags(mail, mail.flags | {r"\Seen"})
    session.forget_flagged(mail.uid)  # the response itself tells it
    session.count_flags(1)


def compile_plan(items: list[bytes], session: Session, mailbox: Mailbox, *, by_uid: bool) -> Plan:
    """Turn the requested items into renderers; raises ProtocolError for an item that is not served."""
    plan = Plan()
    names: list[bytes] = [b"UID"] if by_uid else []
    bodies: list[bytes] = []
    for item in items:
        name = item.upper()
        if name in _OLD_NAMES or name.startswith(b"BODY"):
            bodies.append(item)
        else:
            names += _MACROS.get(name, [name])
    words = _words(session, mailbox)
    for name in dict.fromkeys(names):
        if name not in words:
            raise ProtocolError("unknown FETCH item " + name[:32].decode("ascii", "replace"))
        plan.words.append(words[name])
        plan.needs_content |= name == b"RFC822.SIZE"
    for body in bodies:
        _add_body(plan, body)
    if plan.marks_seen and words[b"FLAGS"] not in plan.words:
        plan.words.append(words[b"FLAGS"])  # the client must learn what it caused (RFC 3501 6.4.5)
    return plan


def _words(session: Session, mailbox: Mailbox) -> dict[bytes, Word]:
    words: dict[bytes, Word] = {
        b"UID": lambda mail, _size: b"UID %d" % mail.uid,
        b"FLAGS": lambda mail, _size: _names(b"FLAGS", mail.flags),
        b"INTERNALDATE": lambda mail, _size: b'INTERNALDATE "%s"' % date_time(mail.internal_date),
        b"RFC822.SIZE": lambda _mail, size: b"RFC822.SIZE %d" % size,
    }

    def thread(mail: Mail) -> int:
        return mail.gm_thrid or mailbox.gm_msgid(mail)

    account = session.account
    if account is not None and account.gmail:
        words[b"X-GM-MSGID"] = lambda mail, _size: b"X-GM-MSGID %d" % mailbox.gm_msgid(mail)
        words[b"X-GM-THRID"] = lambda mail, _size: b"X-GM-THRID %d" % thread(mail)
        words[b"X-GM-LABELS"] = lambda mail, _size: _names(b"X-GM-LABELS", mail.labels)
    if account is not None and account.objectid:
        words[b"EMAILID"] = lambda mail, _size: b"EMAILID (M%d)" % mailbox.gm_msgid(mail)
        words[b"THREADID"] = lambda mail, _size: b"THREADID (T%d)" % thread(mail)
    return words


@lru_cache(maxsize=1024)
def _names(item: bytes, names: frozenset[str] | tuple[str, ...]) -> bytes:
    ordered = sorted(names) if isinstance(names, frozenset) else names
    return b"%s (%s)" % (item, b" ".join(_flag_or_label(name) for name in ordered))


def _flag_or_label(name: str) -> bytes:
    raw = name_bytes(name)
    plain = re.fullmatch(rb'\\?[^ ()"\\{%*\x00-\x1f\]]+', raw)
    return raw if plain else b'"%s"' % raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _add_body(plan: Plan, item: bytes) -> None:
    wanted = _OLD_NAMES.get(item.upper(), item)
    found = _BODY.fullmatch(wanted)
    if found is None:
        raise ProtocolError("unknown FETCH item " + item[:32].decode("ascii", "replace"))
    pieces = _section_pieces(found["section"])
    name = item.upper() if wanted is not item else b"BODY[%s]" % found["section"].upper()
    if found["start"] is not None:
        start, count = int(found["start"]), int(found["count"])
        pieces = _partial(pieces, start, count)
        name += b"<%d>" % start
    plan.literals.append(Literal(name, pieces))
    plan.needs_content = True
    plan.marks_seen |= found["peek"] is None


def _section_pieces(section: bytes) -> Pieces:
    name = section.upper()
    if name == b"":
        return lambda head, body: (head, body)
    if name == b"HEADER":
        return lambda head, _body: (head,)
    if name == b"TEXT":
        return lambda _head, body: (body,)
    fields = _FIELDS.fullmatch(name)
    if fields is None:
        raise ProtocolError("this BODY section is not served")
    wanted = frozenset(fields[1].split())
    return lambda head, _body: (_some_fields(head, wanted),)


def _some_fields(head: bytes, wanted: frozenset[bytes]) -> bytes:
    fields = re.findall(rb"(?m)^([^\s:]+)[ \t]*:(.*\n(?:[ \t].*\n)*)", head)
    return b"".join(b"%s:%s" % (name, rest) for name, rest in fields if name.upper() in wanted) + b"\r\n"


def _partial(pieces: Pieces, start: int, count: int) -> Pieces:
    return lambda head, body: (b"".join(pieces(head, body))[start : start + count],)


def date_time(epoch_s: float) -> bytes:
    """An IMAP date-time in UTC, quoted by the caller."""
    day, second = divmod(int(epoch_s), _SECONDS_A_DAY)
    return b"%s %02d:%02d:%02d +0000" % (_day(day), second // 3600, second // 60 % 60, second % 60)


@lru_cache(maxsize=1024)
def _day(day: int) -> bytes:
    return time.strftime("%d-%b-%Y", time.gmtime(day * _SECONDS_A_DAY)).encode()
