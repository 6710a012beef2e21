"""What we know of a mailbox: where we are in it, and what a fetch brought."""

import msgspec

from fastmail_ingest.model.blob import Draft
from fastmail_ingest.model.identity import content_hash


class MailboxKey(msgspec.Struct, frozen=True):
    """A mailbox of an account, as the configuration names it."""

    account: str
    mailbox: str

    def __str__(self) -> str:
        return f"{self.account}/{self.mailbox}"


class Cursor(msgspec.Struct, frozen=True):
    """How far a mailbox has been taken over into the stream.

    All mails with a UID up to `last_uid` are in the ledger. While `last_uid < match_until` the
    mailbox is being read again because its UIDVALIDITY changed: mails are recognised by content.
    """

    uid_validity: int = 0
    last_uid: int = 0
    match_until: int = 0


class Beginning(msgspec.Struct, frozen=True):
    """Where a mailbox with start = "now" began: what is up to `last_uid` is left alone.

    When its UIDs became void there were mails up to `reread_until`, as UIDs are now; of those the ones that
    came before `since_s` (epoch seconds, by Redis' clock) are left alone, too. A `uid_validity` of 0: it did
    not begin so.
    """

    uid_validity: int = 0
    last_uid: int = 0
    reread_until: int = 0
    since_s: float = 0.0


class MailboxState(msgspec.Struct, frozen=True):
    """What the server says when a mailbox is opened, or asked for with STATUS.

    `sticky` is false if its UIDs do not outlive the session (UIDNOTSTICKY, RFC 4315 2), `told` if it does
    not tell its UIDNEXT: then `uid_next` follows the highest UID there is now.
    """

    uid_validity: int
    uid_next: int
    exists: int
    sticky: bool = True
    told: bool = True


class Fetched(msgspec.Struct, gc=False):
    """One mail as it came out of a FETCH response.

    A large one is in `draft`, and `raw` is only its beginning.
    """

    uid: int = 0
    flags: tuple[str, ...] = ()
    internal_date: float = 0.0
    size: int = 0  # bytes the server announced for the body, also when `raw` was cut
    raw: bytes | None = None  # None: this response carried no body (a flag update)
    truncated: bool = False
    gm_msgid: str = ""
    gm_thrid: str = ""
    labels: tuple[str, ...] = ()
    email_id: str = ""
    thread_id: str = ""
    draft: Draft | None = None
    hashed: bytes = b""  # the content hash of a large mail
    swallows: bool = False  # a large mail that seems to hold the responses behind it

    @property
    def content_hash(self) -> bytes:
        """Equal for equal mails; of one that was cut, for equal beginnings."""
        return self.hashed or content_hash(self.raw or b"")

    def discard(self) -> None:
        """Nobody takes this mail: leave nothing of a large one behind."""
        if self.draft is not None:
            self.draft.discard()
