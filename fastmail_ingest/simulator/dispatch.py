"""The conversation with one client: read a command, look it up in the table of all commands, answer."""

import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeAlias

import msgspec

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator import authentication, basics, fetch, folders, messages, mischief, search
from fastmail_ingest.simulator.parser import (
    MAX_LITERAL_BEFORE_LOGIN_BYTES,
    MAX_LITERAL_BYTES,
    BadCommand,
    Command,
    Token,
    read_command,
)
from fastmail_ingest.simulator.session import Session
from fastmail_ingest.simulator.wire import LineTooLong

MAX_BAD_COMMANDS = 20

_log = logging.getLogger(__name__)


class Needs(Enum):
    """In which state a command is allowed (RFC 3501 3)."""

    NOTHING = "any state"
    NO_LOGIN = "before login only"
    LOGIN = "login first"
    MAILBOX = "select a mailbox first"


Handler: TypeAlias = Callable[[Session, list[Token]], Awaitable[bytes]]
"""Sends what is untagged and returns the tagged answer without its tag; raises ProtocolError for BAD."""


class Entry(msgspec.Struct, frozen=True):
    """One command of the table; `reports` is false where RFC 3501 7.4.1 forbids to renumber the mails."""

    handler: Handler
    needs: Needs
    reports: bool = True


async def converse(session: Session) -> None:
    """Serve one client until it logs out, hangs up, or sends nothing but nonsense."""
    session.send(b"* OK [CAPABILITY %s] simulated mail server ready" % session.capabilities)
    bad = 0
    while not session.ended:
        limit = MAX_LITERAL_BEFORE_LOGIN_BYTES if session.account is None else MAX_LITERAL_BYTES
        try:
            command = await read_command(session.wire, limit)
            await _obey(session, command)
            bad = 0
        except BadCommand as error:
            bad += 1
            text = " ".join(str(error).split())  # it may quote the client, line ends and all
            session.send(b"%s BAD %s" % (error.tag, text.encode()))
        if bad == MAX_BAD_COMMANDS:
            session.send(b"* BYE too many bad commands")
            break
        await session.wire.drain()


async def _obey(session: Session, command: Command) -> None:
    session.tally.commands += 1
    session.tag = command.tag
    entry = COMMANDS.get(command.name)
    if entry is None:
        raise BadCommand("unknown command", command.tag)
    refusal = _refusal(session, entry.needs)
    if refusal:
        raise BadCommand(refusal, command.tag)
    try:
        answer = await _answer(session, entry, command)
    except LineTooLong as error:
        raise BadCommand("line too long", command.tag) from error
    except ProtocolError as error:
        raise BadCommand(str(error), command.tag) from error
    if entry.reports:
        session.report()
    session.send(b"%s %s" % (command.tag, answer))
    if session.wants_tls and session.ssl_context is not None:
        session.wants_tls = False
        await session.wire.start_tls(session.ssl_context)


async def _answer(session: Session, entry: Entry, command: Command) -> bytes:
    try:
        if session.faults is not None:
            return await mischief.answer(session, command, entry.handler)
        return await entry.handler(session, command.args)
    except (ProtocolError, OSError):
        raise
    except Exception:  # a defect of ours must not take the server down; the client sees it
        _log.exception("command %s failed", command.name.decode("ascii", "replace"))
        return b"NO [SERVERBUG] internal error"


def _refusal(session: Session, needs: Needs) -> str:
    if needs is Needs.NO_LOGIN and session.account is not None:
        return "already logged in"
    if needs is Needs.LOGIN and session.account is None:
        return "log in first"
    if needs is Needs.MAILBOX and session.mailbox is None:
        return "no mailbox selected"
    return ""


COMMANDS: dict[bytes, Entry] = {
    b"CAPABILITY": Entry(basics.capability, Needs.NOTHING),
    b"NOOP": Entry(basics.noop, Needs.NOTHING),
    b"LOGOUT": Entry(basics.logout, Needs.NOTHING),
    b"ID": Entry(basics.identify, Needs.NOTHING),
    b"STARTTLS": Entry(basics.start_tls, Needs.NO_LOGIN),
    b"LOGIN": Entry(authentication.login, Needs.NO_LOGIN),
    b"AUTHENTICATE": Entry(authentication.authenticate, Needs.NO_LOGIN),
    b"ENABLE": Entry(basics.enable, Needs.LOGIN),
    b"NAMESPACE": Entry(folders.namespace, Needs.LOGIN),
    b"LIST": Entry(folders.list_mailboxes, Needs.LOGIN),
    b"STATUS": Entry(folders.status, Needs.LOGIN),
    b"SELECT": Entry(folders.select, Needs.LOGIN),
    b"EXAMINE": Entry(folders.examine, Needs.LOGIN),
    b"APPEND": Entry(messages.append, Needs.LOGIN),
    b"IDLE": Entry(basics.idle, Needs.LOGIN),
    b"CHECK": Entry(basics.check, Needs.MAILBOX),
    b"CLOSE": Entry(folders.close, Needs.MAILBOX),
    b"UNSELECT": Entry(folders.unselect, Needs.MAILBOX),
    b"SEARCH": Entry(search.search, Needs.MAILBOX, reports=False),
    b"FETCH": Entry(fetch.fetch, Needs.MAILBOX, reports=False),
    b"STORE": Entry(messages.store, Needs.MAILBOX, reports=False),
    b"EXPUNGE": Entry(messages.expunge, Needs.MAILBOX),
    b"UID SEARCH": Entry(search.uid_search, Needs.MAILBOX),
    b"UID FETCH": Entry(fetch.uid_fetch, Needs.MAILBOX),
    b"UID STORE": Entry(messages.uid_store, Needs.MAILBOX),
    b"UID EXPUNGE": Entry(messages.uid_expunge, Needs.MAILBOX),
}
