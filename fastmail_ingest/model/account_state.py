"""What is known of an account by all processes that work for it, on all hosts."""

from typing import Literal, TypeAlias

import msgspec

Standing: TypeAlias = Literal["ok", "resting", "suspended"]


class AccountState(msgspec.Struct, frozen=True):
    """Whether an account may be asked now: `ok`, `resting` until a time, or `suspended` until a human acts.

    A suspended one is tried again at `until`, too, but seldom. `failures` counts in a row; times are epoch
    seconds. `credentials` are fingerprints of those that were refused, with blanks between: others may do.
    """

    standing: Standing = "ok"
    until: float = 0.0
    failures: int = 0
    reason: str = ""
    since: float = 0.0
    credentials: str = ""


class Quarantined(msgspec.Struct, frozen=True):
    """A mail that its server does not give out: how often it was tried, when again (epoch s), and why.

    `anew`: its mailbox was being read anew, so that its content may be known.
    """

    uid_validity: int
    uid: int
    tries: int
    again_at: float
    reason: str
    anew: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """That the server did not open a mailbox: when it was last asked (epoch s), and why."""

    at: float
    reason: str


class AccountBooks(msgspec.Struct, frozen=True):
    """All that is written down about an account; bytes by the number of the hour, see `policy.budget`."""

    state: AccountState
    bytes_by_hour: dict[int, int]
    commands_today: int
    quarantined: dict[str, list[Quarantined]]  # by mailbox


_state = msgspec.json.Decoder(AccountState)
_refusal = msgspec.json.Decoder(Refusal)
_list = msgspec.json.Decoder(list[Quarantined])
encode = msgspec.json.Encoder().encode


def decode_state(text: bytes | None) -> AccountState:
    """Read what `encode` wrote; nothing, or what others wrote there, counts as ok."""
    try:
        return _state.decode(text) if text else AccountState()
    except msgspec.DecodeError:
        return AccountState()


def decode_refusal(text: bytes | None) -> Refusal | None:
    """Read what `encode` wrote; what others wrote there counts as nothing."""
    try:
        return _refusal.decode(text) if text else None
    except msgspec.DecodeError:
        return None


def decode_quarantine(text: bytes | None) -> list[Quarantined]:
    """Read what `encode` wrote; what others wrote there counts as nothing (`audit` finds what is missing)."""
    try:
        return _list.decode(text) if text else []
    except msgspec.DecodeError:
        return []
