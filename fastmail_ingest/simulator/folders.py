"""Commands on mailboxes: LIST, STATUS, SELECT, EXAMINE, CLOSE, UNSELECT, NAMESPACE."""

import re

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Mailbox
from fastmail_ingest.simulator.messages import expunge_deleted
from fastmail_ingest.simulator.parser import Token, name_bytes, name_of, quoted, text_at, words_of
from fastmail_ingest.simulator.session import Session

DELIMITER = "/"
_FLAGS = rb"(\Answered \Flagged \Deleted \Seen \Draft)"
_NO_SUCH = b"NO [NONEXISTENT] no such mailbox"


def find(session: Session, args: list[Token], at: int = 0) -> Mailbox | None:
    """The mailbox that the argument at this place names."""
    name = name_of(text_at(args, at))
    return session.account.mailbox(name) if session.account is not None else None


async def list_mailboxes(session: Session, args: list[Token]) -> bytes:
    """LIST [(SPECIAL-USE)] reference pattern [RETURN (...)]; many patterns in a list (RFC 5258, 6154)."""
    special_only = bool(args) and isinstance(args[0], list)
    operands = args[1:] if special_only else args
    if len(operands) < 2 or session.account is None:
        raise ProtocolError("LIST wants a reference and a pattern")
    reference, wanted = text_at(operands, 0), words_of(operands[1])
    if wanted == [b""]:
        session.send(rb'* LIST (\Noselect) "/" ""')
        return b"OK LIST completed"
    shapes = [_shape(name_of(reference + pattern)) for pattern in wanted]
    for mailbox in session.account.mailboxes.values():
        if special_only and not mailbox.special_use:
            continue
        if any(shape.fullmatch(mailbox.name) for shape in shapes):
            session.send(_list_line(session, mailbox))
    return b"OK LIST completed"


def _shape(pattern: str) -> re.Pattern[str]:
    kinds = {"*": ".*", "%": f"[^{DELIMITER}]*"}
    # Runs of wildcards mean no more than one of them, and would make the match slow.
    short = re.sub(r"[*%]*\*[*%]*|%+", lambda run: "*" if "*" in run[0] else "%", pattern)
    shape = "".join(kinds.get(letter, re.escape(letter)) for letter in short)
    return re.compile(shape, re.DOTALL | (re.IGNORECASE if pattern.upper() == "INBOX" else 0))


def _list_line(session: Session, mailbox: Mailbox) -> bytes:
    names = session.account.mailboxes if session.account is not None else {}
    parent = any(name.startswith(mailbox.name + DELIMITER) for name in names)
    attributes = [r"\HasChildren" if parent else r"\HasNoChildren"]
    if mailbox.special_use:
        attributes.append(mailbox.special_use)
    return b'* LIST (%s) "%s" %s' % (" ".join(attributes).encode(), DELIMITER.encode(), quoted(mailbox.name))


async def namespace(session: Session, _args: list[Token]) -> bytes:
    """NAMESPACE (RFC 2342): one personal namespace without a prefix."""
    session.send(b'* NAMESPACE (("" "%s")) NIL NIL' % DELIMITER.encode())
    return b"OK NAMESPACE completed"


async def status(session: Session, args: list[Token]) -> bytes:
    """STATUS mailbox (items)."""
    mailbox = find(session, args)
    if mailbox is None:
        return _NO_SUCH
    if len(args) != 2:
        raise ProtocolError("STATUS wants a mailbox and a list of items")
    items = [b"%s %d" % (item, _status_item(mailbox, item)) for item in map(bytes.upper, words_of(args[1]))]
    session.send(b"* STATUS %s (%s)" % (quoted(mailbox.name), b" ".join(items)))
    return b"OK STATUS completed"


def _status_item(mailbox: Mailbox, item: bytes) -> int:
    if item == b"UNSEEN":
        return sum(r"\Seen" not in mail.flags for mail in mailbox.mails)
    values = {
        b"MESSAGES": len(mailbox),
        b"RECENT": 0,
        b"UIDNEXT": mailbox.uid_next,
        b"UIDVALIDITY": mailbox.uid_validity,
    }
    if item not in values:
        raise ProtocolError("unknown STATUS item")
    return values[item]


async def select(session: Session, args: list[Token]) -> bytes:
    """SELECT mailbox."""
    return _open(session, args, read_only=False)


async def examine(session: Session, args: list[Token]) -> bytes:
    """EXAMINE mailbox: SELECT without the right to change anything."""
    return _open(session, args, read_only=True)


def _open(session: Session, args: list[Token], *, read_only: bool) -> bytes:
    session.unselect()  # also when the new one does not exist (RFC 3501 6.3.1)
    mailbox = find(session, args)
    if mailbox is None:
        return _NO_SUCH
    session.select(mailbox, read_only)
    permanent = b"()" if read_only else _FLAGS[:-1] + rb" \*)"
    session.send(
        b"* FLAGS " + _FLAGS,
        b"* OK [PERMANENTFLAGS %s] permanent flags" % permanent,
        b"* %d EXISTS" % len(session.view),
        b"* 0 RECENT",
        b"* OK [UIDVALIDITY %d] UIDs valid" % mailbox.uid_validity,
        b"* OK [UIDNEXT %d] predicted next UID" % mailbox.uid_next,
    )
    if session.account is not None and session.account.objectid:
        session.send(b"* OK [MAILBOXID (M%s)] mailbox id" % name_bytes(mailbox.name).hex().encode())
    return b"OK [READ-ONLY] EXAMINE completed" if read_only else b"OK [READ-WRITE] SELECT completed"


async def close(session: Session, _args: list[Token]) -> bytes:
    r"""CLOSE: remove the \Deleted mails without a word, unless read-only, and select nothing."""
    if not session.read_only:
        expunge_deleted(session, None)
    session.unselect()
    return b"OK CLOSE completed"


async def unselect(session: Session, _args: list[Token]) -> bytes:
    """UNSELECT (RFC 3691): select nothing."""
    session.unselect()
    return b"OK UNSELECT completed"
