"""How the faults of `faults.py` are done to a client that has just sent a command."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec

from fastmail_ingest.simulator import basics
from fastmail_ingest.simulator.faults import OVER_QUOTA, Fault, Faults, Strike
from fastmail_ingest.simulator.fetch import Request, request_of
from fastmail_ingest.simulator.mailbox import Mail
from fastmail_ingest.simulator.parser import Command, Token
from fastmail_ingest.simulator.session import Session

Handler: TypeAlias = Callable[[Session, list[Token]], Awaitable[bytes]]

_ANY_COMMAND = frozenset({Fault.THROTTLE, Fault.HALF_OPEN, Fault.DROP_ON_COMMAND})
_IDLE = _ANY_COMMAND | {Fault.BYE, Fault.STUCK_IDLE}
_FETCH = _ANY_COMMAND | {Fault.BYE, Fault.NO_TO_FETCH}
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_MOST_EXPUNGED = 3
_PIECES_BYTES = (1, 2, 3, 7, 64, 1000, 4000)
# Small enough to end within the framing between two mails. More could by chance end just before the ")" of
# another mail, and then no reader on earth can tell.
_LARGER_BYTES = (1, 2, 3, 4, 5, 6)
_ENDLESS_BYTES = 1 << 31
_STILL_BUSY = b"* OK still busy\r\n"
OVER_QUOTA_WORDS = b"[OVERQUOTA] Account exceeded command or bandwidth limits"  # Google's


class _Occasion(msgspec.Struct):
    """A command that is about to be answered; for a FETCH also what it asks for."""

    session: Session
    faults: Faults
    command: Command
    request: Request | None = None
    mails: list[tuple[int, Mail]] = []  # place in view, mail
    fresh: list[Mail] = []  # those that no FETCH has asked for before
    poisoned: int | None = None  # the number of the mail that is to blame, if one always is

    def fitting(self) -> frozenset[Fault]:
        """The faults that can strike here."""
        if self.command.name == b"IDLE":
            return _IDLE
        if self.request is None:
            return _ANY_COMMAND
        if not self.mails or not self.request.plan.literals:
            return _FETCH
        fitting = _FETCH | {Fault.CUT_LITERAL, Fault.WRONG_SIZE, Fault.SPLIT}
        return fitting | {Fault.EXPUNGE_RACE} if self.fresh else fitting

    def responses(self) -> Iterator[bytes]:
        """What an honest server answers, mail by mail."""
        if self.request is not None:
            for at, mail in self.mails:
                out: list[bytes] = []
                self.request.plan.render(out, at + 1, mail)
                self.session.tally.fetched += 1
                yield b"".join(out)

    def victim(self) -> int:
        """The number of the mail at which it happens."""
        if self.poisoned is not None:
            return self.poisoned
        return self.faults.random.randrange(max(1, len(self.mails)))

    async def send(self, data: bytes) -> None:
        """Send this now."""
        self.session.wire.send([data])
        await self.session.wire.drain()


async def answer(session: Session, command: Command, handler: Handler) -> bytes:
    """Answer a command as `handler` does, unless a fault strikes; raises what ends the connection."""
    faults = session.faults
    if faults is None:
        return await handler(session, command.args)
    occasion = _occasion(session, faults, command)
    strike = _poison(occasion) or _over_quota(occasion) or faults.strike(occasion.fitting())
    if strike is not None and strike.fault is Fault.EXPUNGE_RACE:
        _expunge_some(occasion)
    if strike is None or strike.fault is Fault.EXPUNGE_RACE:
        return await handler(session, command.args)
    return await _DEEDS[strike.fault](occasion, strike)


def _occasion(session: Session, faults: Faults, command: Command) -> _Occasion:
    occasion = _Occasion(session, faults, command)
    if command.name in (b"FETCH", b"UID FETCH"):
        request = request_of(session, command.args, by_uid=command.name == b"UID FETCH")
        found = ((at, request.mailbox.find(session.view[at])) for at in request.places)
        mails = [(at, mail) for at, mail in found if mail is not None]
        fresh = [mail for _, mail in mails if not mail.asked]
        for mail in fresh:
            mail.asked = True
        # A FETCH that sets flags is left to the honest server.
        if session.read_only or not request.plan.marks_seen:
            occasion.request, occasion.mails, occasion.fresh = request, mails, fresh
    return occasion


def _poison(occasion: _Occasion) -> Strike | None:
    """What a mail does that always does harm, if one is asked for with its body."""
    if occasion.request is None or not occasion.request.plan.literals:
        return None
    for number, (_, mail) in enumerate(occasion.mails):
        strike = occasion.faults.poison_of(occasion.request.mailbox.name, mail.uid)
        if strike is not None:
            occasion.poisoned = number
            return strike
    return None


def _over_quota(occasion: _Occasion) -> Strike | None:
    # What the server can do is told to everybody, before it is known who asks.
    return None if occasion.command.name == b"CAPABILITY" else occasion.faults.refusal()


def _expunge_some(occasion: _Occasion) -> None:
    if occasion.request is None:
        return
    faults = occasion.faults
    count = faults.random.randint(1, min(_MOST_EXPUNGED, len(occasion.fresh)))
    for mail in faults.random.sample(occasion.fresh, count):
        faults.expunged.add((occasion.request.mailbox.name, mail.uid))
        occasion.request.mailbox.expunge(mail.uid)


async def _drop(occasion: _Occasion, _strike: Strike) -> bytes:
    occasion.session.wire.reset()
    raise ConnectionResetError("fault: reset")


async def _throttle(occasion: _Occasion, strike: Strike) -> bytes:
    if strike.variant == "no":
        return b"NO [THROTTLED] too many requests, try again later"
    if strike.variant == "bye":
        return await _bye(occasion, strike)
    if strike.variant in OVER_QUOTA:
        if strike.variant == "over quota":
            return b"NO " + OVER_QUOTA_WORDS
        occasion.session.send(b"* BYE " + OVER_QUOTA_WORDS)
        raise ConnectionResetError("fault: BYE")
    for response in occasion.responses():
        await _drip(occasion, response)
    while True:
        await _drip(occasion, _STILL_BUSY)


async def _drip(occasion: _Occasion, data: bytes) -> None:
    for byte in data:
        await occasion.send(bytes((byte,)))
        await asyncio.sleep(occasion.faults.drip_s)


async def _bye(occasion: _Occasion, strike: Strike) -> bytes:
    """Between two mails of a FETCH, or to a client that idles."""
    if strike.fault is Fault.BYE and occasion.command.name == b"IDLE":
        await occasion.send(b"+ idling\r\n")
    elif strike.fault is Fault.BYE:
        await _send_before(occasion, occasion.victim())
    occasion.session.send(b"* BYE [UNAVAILABLE] the server cannot serve you now")
    raise ConnectionResetError("fault: BYE")


async def _stuck_idle(occasion: _Occasion, _strike: Strike) -> bytes:
    session = occasion.session
    session.send(b"+ idling")
    session.silent = True
    return await basics.until_done(session)


async def _half_open(occasion: _Occasion, strike: Strike) -> bytes:
    if occasion.command.name == b"IDLE":
        await occasion.send(b"+ idling\r\n")
    elif strike.variant == "within" and occasion.mails:
        await _send_part(occasion)
    await occasion.session.wire.ignore()
    raise ConnectionResetError("fault: half open")


async def _cut_literal(occasion: _Occasion, _strike: Strike) -> bytes:
    await _send_part(occasion)
    raise ConnectionResetError("fault: cut")


async def _no_to_fetch(occasion: _Occasion, strike: Strike) -> bytes:
    if strike.variant == "within":
        await _send_before(occasion, occasion.victim())
    return b"NO [SERVERBUG] some messages could not be fetched"


async def _wrong_size(occasion: _Occasion, strike: Strike) -> bytes:
    victim = occasion.victim()
    for number, response in enumerate(occasion.responses()):
        await occasion.send(_resized(occasion, response, strike) if number == victim else response)
    return b"OK FETCH completed"


def _resized(occasion: _Occasion, response: bytes, strike: Strike) -> bytes:
    found = _LITERAL.search(response)
    if found is None:
        return response
    size = int(found[1])
    if strike.variant == "smaller" and size > 0:
        size -= occasion.faults.random.randint(1, size)
    elif strike.variant == "endless":
        size += _ENDLESS_BYTES
    else:
        size += occasion.faults.random.choice(_LARGER_BYTES)
    return b"%s{%d}\r\n%s" % (response[: found.start()], size, response[found.end() :])


async def _split(occasion: _Occasion, _strike: Strike) -> bytes:
    session, random = occasion.session, occasion.faults.random
    for response in occasion.responses():
        edges = [0]
        while edges[-1] < len(response):
            edges.append(edges[-1] + random.choice(_PIECES_BYTES))
        for start, stop in pairwise(edges):
            await occasion.send(response[start:stop])
        _, mail = random.choice(occasion.mails)
        session.send(*random.sample(_news(session, mail.uid), 2))
    return b"OK FETCH completed"


def _news(session: Session, uid: int) -> Sequence[bytes]:
    """What a server may say between any two responses (RFC 9051 7.4.1, 7.5.2); all of it is true."""
    line = session.flags_line(uid)
    return (
        line,
        line.replace(b"UID %d " % uid, b""),
        b"* %d EXISTS" % len(session.view),
        b"* OK [ALERT] the cellar is damp",
    )


async def _send_before(occasion: _Occasion, victim: int) -> None:
    """Send the responses before that of this mail, whole."""
    for _, response in zip(range(victim), occasion.responses(), strict=False):
        await occasion.send(response)


async def _send_part(occasion: _Occasion) -> None:
    """Send the responses up to somewhere in the literal of one."""
    victim = occasion.victim()
    for number, response in enumerate(occasion.responses()):
        if number == victim:
            found = _LITERAL.search(response)
            if found is not None:
                end = found.end() + occasion.faults.random.randrange(max(1, int(found[1])))
                await occasion.send(response[:end])
            return
        await occasion.send(response)


_DEEDS: dict[Fault, Callable[[_Occasion, Strike], Awaitable[bytes]]] = {
    Fault.CUT_LITERAL: _cut_literal,
    Fault.BYE: _bye,
    Fault.THROTTLE: _throttle,
    Fault.STUCK_IDLE: _stuck_idle,
    Fault.HALF_OPEN: _half_open,
    Fault.WRONG_SIZE: _wrong_size,
    Fault.SPLIT: _split,
    Fault.NO_TO_FETCH: _no_to_fetch,
    Fault.DROP_ON_COMMAND: _drop,
}
