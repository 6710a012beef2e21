"""Commands that need no mailbox: CAPABILITY, NOOP, LOGOUT, ID, ENABLE, STARTTLS, CHECK, IDLE."""

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.parser import MAX_LINE_BYTES, Token
from fastmail_ingest.simulator.session import Session


async def capability(session: Session, _args: list[Token]) -> bytes:
    """CAPABILITY."""
    session.send(b"* CAPABILITY " + session.capabilities)
    return b"OK CAPABILITY completed"


async def noop(_session: Session, _args: list[Token]) -> bytes:
    """NOOP: the news of the selected mailbox come with its answer, as with any other command."""
    return b"OK NOOP completed"


async def check(_session: Session, _args: list[Token]) -> bytes:
    """CHECK: nothing to do for a mailbox in memory."""
    return b"OK CHECK completed"


async def logout(session: Session, _args: list[Token]) -> bytes:
    """LOGOUT."""
    session.ended = True
    session.unselect()
    session.send(b"* BYE logging out")
    return b"OK LOGOUT completed"


async def identify(session: Session, _args: list[Token]) -> bytes:
    """ID (RFC 2971); what the client says of itself is not looked at."""
    session.send(b'* ID ("name" "fastmail-ingest simulator")')
    return b"OK ID completed"


async def enable(session: Session, _args: list[Token]) -> bytes:
    """ENABLE (RFC 5161): there is nothing here that must be enabled."""
    session.send(b"* ENABLED")
    return b"OK ENABLE completed"


async def start_tls(session: Session, _args: list[Token]) -> bytes:
    """STARTTLS; the dispatcher changes over after this answer is on its way."""
    if session.ssl_context is None or session.wire.encrypted:
        raise ProtocolError("STARTTLS is not available")
    session.wants_tls = True
    return b"OK begin TLS negotiation now"


async def idle(session: Session, _args: list[Token]) -> bytes:
    """IDLE (RFC 2177): changes are told at once, until the client sends DONE."""
    session.send(b"+ idling")
    session.report()
    session.idling = True
    try:
        return await until_done(session)
    finally:
        session.idling = False


async def until_done(session: Session) -> bytes:
    """Wait for the DONE that ends an IDLE."""
    line = await session.wire.read_line(MAX_LINE_BYTES)
    if line.strip().upper() != b"DONE":
        raise ProtocolError("DONE is expected")
    return b"OK IDLE completed"
