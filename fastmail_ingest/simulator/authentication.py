"""LOGIN and AUTHENTICATE: PLAIN (RFC 4616), Google's XOAUTH2 and OAUTHBEARER (RFC 7628), with and without
SASL-IR (RFC 4959).
"""

import base64
import binascii
import re

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.mailbox import Account
from fastmail_ingest.simulator.parser import Token, name_of, text_at
from fastmail_ingest.simulator.session import Session

_MAX_ANSWER_BYTES = 16 * 1024
_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01")
_GS2 = re.compile(rb"n,a=([^,\x01]*),")  # RFC 5801 4
_REFUSED = b"NO [AUTHENTICATIONFAILED] Invalid credentials"
# Google's answer to a bad token, as its XOAUTH2 page shows it; the NO comes only after the client's reply.
_TOKEN_REFUSED = b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'
# How the client says that it has read that: nothing (XOAUTH2), or one byte (RFC 7628 3.2.3).
_DISMISSALS = {b"XOAUTH2": b"", b"OAUTHBEARER": b"\x01"}


async def login(session: Session, args: list[Token]) -> bytes:
    """LOGIN user password."""
    account = session.store.by_password(name_of(text_at(args, 0)), name_of(text_at(args, 1)))
    return _conclude(session, account)


async def authenticate(session: Session, args: list[Token]) -> bytes:
    """AUTHENTICATE mechanism [initial response]."""
    mechanism = text_at(args, 0).upper()
    if mechanism not in (b"PLAIN", *_DISMISSALS):
        return b"NO [CANNOT] unsupported authentication mechanism"
    answer = text_at(args, 1) if len(args) > 1 else await _ask(session, b"")
    if answer == b"*":
        raise ProtocolError("authentication cancelled")
    response = _decoded(answer)
    if mechanism == b"PLAIN":
        return _conclude(session, _plain(session, response))
    account = _by_token(session, mechanism, response)
    if account is None:
        dismissal = await _ask(session, base64.b64encode(_TOKEN_REFUSED))
        if _decoded(dismissal) != _DISMISSALS[mechanism]:
            raise ProtocolError("the client answers a refusal with something else than it should")
    return _conclude(session, account)


def _plain(session: Session, response: bytes) -> Account | None:
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise ProtocolError("PLAIN wants three parts")
    return session.store.by_password(name_of(parts[1]), name_of(parts[2]))


def _by_token(session: Session, mechanism: bytes, response: bytes) -> Account | None:
    user, token = (_xoauth2 if mechanism == b"XOAUTH2" else _oauthbearer)(response)
    return session.store.by_token(name_of(user), name_of(token)) if token else None


def _xoauth2(response: bytes) -> tuple[bytes, bytes]:
    found = _XOAUTH2.fullmatch(response)
    return (found[1], found[2]) if found is not None else (b"", b"")


def _oauthbearer(response: bytes) -> tuple[bytes, bytes]:
    """RFC 7628 3.1: the header with the user, then pairs like host=, port=, auth=."""
    header, *pairs = response.split(b"\x01")
    user = _GS2.fullmatch(header)
    said = dict(pair.partition(b"=")[::2] for pair in pairs)
    if user is None or pairs[-2:] != [b"", b""] or not said.get(b"auth", b"").startswith(b"Bearer "):
        return b"", b""
    return user[1].replace(b"=2C", b",").replace(b"=3D", b"="), said[b"auth"].removeprefix(b"Bearer ")


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
