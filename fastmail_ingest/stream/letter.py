"""One dead letter, and which of them are meant."""

import msgspec

from fastmail_ingest.errors import UndecodableEntry
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import Envelope, decode

_OURS = {b"m", b"id", b"reason", b"error", b"message", b"traceback", b"f", b"r", b"k", b"p", b"x", b"at"}


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant; all that is given must hold. Ages are in seconds since the mail died.

    `reason` is one of rejected, retries_exhausted, killed_worker, hung, undecodable, too_large; `error` is
    the class of the exception, as `DeadLetter.error` has it.
    """

    reason: str = ""
    account: str = ""
    mailbox: str = ""
    error: str = ""
    newer_than_s: float | None = None
    older_than_s: float | None = None

    def takes(self, letter: "DeadLetter") -> bool:
        """Whether the letter is meant, its age aside."""
        pairs = (
            (self.reason, letter.reason),
            (self.account, letter.account),
            (self.mailbox, letter.mailbox),
            (self.error, letter.error),
        )
        return all(not wanted or wanted == there for wanted, there in pairs)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter. Of its mail only the beginning is here: `DeadLetters.export` gives the whole.

    `failures`, `returns`, `deaths` and `replays` count exceptions of the handler, returns from processes that
    could not finish it, worker deaths it was in hand at, and replays before this one. `envelope` is None for
    what this version cannot read; `fields` are then the raw fields that another program wrote.
    """

    id: str
    identity: str
    reason: str
    error: str
    message: str
    traceback: str
    failures: int
    returns: int
    deaths: int
    replays: int
    died_at: float  # seconds since the epoch, by the clock of Redis
    stored_bytes: int
    envelope: Envelope | None = None
    fields: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def account(self) -> str:
        """The account's name; of a letter that cannot be read what its identity says, if anything."""
        if self.envelope is not None:
            return self.envelope.account
        return "" if self.identity.startswith("foreign:") else self.identity.partition(":")[0]

    @property
    def mailbox(self) -> str:
        """The mailbox it was fetched from; empty if it cannot be read."""
        return self.envelope.mailbox if self.envelope is not None else ""

    @property
    def email(self) -> Email | None:
        """The mail as a handler sees it, parsed when asked, but cut; None if it cannot be read."""
        attempt = max(1, self.failures + self.returns)
        return Email(self.envelope, attempt) if self.envelope is not None else None


def letter_of(entry_id: bytes, stored: int, flat: list[bytes], foreign: list[bytes]) -> DeadLetter:
    """A letter from what `letters.lua` returns of it. Nothing in it is to be trusted."""
    named = dict(zip(flat[::2], flat[1::2], strict=False))
    identifier = entry_id.decode()
    envelope = _envelope(named.get(b"m", b""))
    fields = tuple(zip(foreign[::2], foreign[1::2], strict=False))
    fields += tuple((name, value) for name, value in named.items() if name not in _OURS)
    if envelope is None and named.get(b"m"):
        fields += ((b"m", named[b"m"]),)
    return DeadLetter(
        id=identifier,
        identity=_text(named, b"id") or f"foreign:{identifier}",
        reason=_text(named, b"reason"),
        error=_text(named, b"error"),
        message=_text(named, b"message"),
        traceback=_text(named, b"traceback"),
        failures=_number(named, b"f"),
        returns=_number(named, b"r"),
        deaths=_number(named, b"k"),
        replays=_number(named, b"p"),
        died_at=(_number(named, b"at") or by_time(identifier)[0]) / 1000,
        stored_bytes=stored,
        envelope=envelope,
        fields=fields,
    )


def _envelope(payload: bytes) -> Envelope | None:
    try:
        return decode(payload)
    except UndecodableEntry:
        return None


def _text(named: dict[bytes, bytes], name: bytes) -> str:
    return named.get(name, b"").decode("utf-8", "replace")


def _number(named: dict[bytes, bytes], name: bytes) -> int:
    value = named.get(name, b"")
    return int(value) if value.isdigit() and len(value) < 16 else 0


def by_time(entry_id: str) -> tuple[int, int]:
    """What entry ids are sorted by."""
    millis, _, number = entry_id.partition("-")
    return int(millis), int(number)
