"""LOGIN and AUTHENTICATE: PLAIN (RFC 4616) and Google's XOAUTH2, with and without SASL-IR (RFC 4959)."""

import base64
import binascii
import re

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Account
from fastmail_ingest.simulator.parser import Token, name_of, text_at
from fastmail_ingest.simulator.session import Session

_MAX_ANSWER_BYTES = 16 * 1024
_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01")
_REFUSED = b"NO [AUTHENTICATIONFAILED] Invalid credentials"
# Google's answer to a bad token, as its XOAUTH2 page shows it; the NO comes only after the client's reply.
_TOKEN_REFUSED = b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'


async def login(session: Session, args: list[Token]) -> bytes:
    """LOGIN user password."""
    account = session.store.by_password(name_of(text_at(args, 0)), name_of(text_at(args, 1)))
    return _conclude(session, account)


async def authenticate(session: Session, args: list[Token]) -> bytes:
    """AUTHENTICATE mechanism [initial response]."""
    mechanism = text_at(args, 0).upper()
    if mechanism not in (b"PLAIN", b"XOAUTH2"):
        return b"NO [CANNOT] unsupported authentication mechanism"
    answer = text_at(args, 1) if len(args) > 1 else await _ask(session, b"")
    if answer == b"*":
        raise ProtocolError("authentication cancelled")
    response = _decoded(answer)
    if mechanism == b"PLAIN":
        return _conclude(session, _plain(session, response))
    account = _xoauth2(session, response)
    if account is None:
        await _ask(session, base64.b64encode(_TOKEN_REFUSED))
    return _conclude(session, account)


def _plain(session: Session, response: bytes) -> Account | None:
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise ProtocolError("PLAIN wants three parts")
    return session.store.by_password(name_of(parts[1]), name_of(parts[2]))


def _xoauth2(session: Session, response: bytes) -> Account | None:
    found = _XOAUTH2.fullmatch(response)
    if found is None:
        return None
    return session.store.by_token(name_of(found[1]), name_of(found[2]))


def _conclude(session: Session, account: Account | None) -> bytes:
    if account is None:
        session.tally.refused_logins += 1
        return _REFUSED
    session.account = account
    session.tally.logins += 1
    return b"OK [CAPABILITY %s] logged in" % session.capabilities


async def _ask(session: Session, challenge: bytes) -> bytes:
    session.send(b"+ " + challenge)
    return await session.wire.read_line(_MAX_ANSWER_BYTES)


def _decoded(answer: bytes) -> bytes:
    try:
        return b"" if answer == b"=" else base64.b64decode(answer, validate=True)
    except binascii.Error as error:
        raise ProtocolError("not base64") from error
