"""How everything stands at one moment: what `status` prints, HTTP answers, and readiness is judged by."""

from msgspec import Struct

from fastmail_ingest.model.account_state import Quarantined, Refusal, Standing
from fastmail_ingest.model.pressure import RedisMemory


class LaneStanding(Struct, frozen=True):
    """A lane of the stream: mails in it, and how long the oldest has been there, s (None if it is empty)."""

    lane: str
    mails: int
    oldest_s: float | None


class StreamStanding(Struct, frozen=True):
    """The stream; `bytes` of mail wait in it, beside those in files. Mails in hand are in their lanes.

    `memory` is that of its whole Redis.
    """

    to_handle: int
    waiting_for_retry: int
    dead: int
    bytes: int
    lanes: list[LaneStanding]
    memory: RedisMemory = RedisMemory(0, 0)


class MailboxStanding(Struct, frozen=True):
    """Where we are in a mailbox.

    It was last proved to be read to its end at `fresh_at` (epoch s, 0.0 for never), `appended` mails came out
    of it, its server does not give out the `quarantined` ones; `refused` is why it opens none of them.
    """

    mailbox: str
    fresh_at: float
    fresh_s_ago: float | None
    refused: Refusal | None
    last_uid: int
    appended: int
    quarantined: list[Quarantined]


class AccountStanding(Struct, frozen=True):
    """An account: ok, resting or suspended `until` (epoch s), why, and what it has cost its provider.

    `bytes_allowed` is 0 where there is no limit; `oauth` if it logs in by an access token.
    """

    account: str
    standing: Standing
    until: float
    failures: int
    reason: str
    since: float
    oauth: bool
    bytes_in_24_h: int
    bytes_allowed: int
    commands_today: int
    mailboxes: list[MailboxStanding]
