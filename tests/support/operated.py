"""A stream with mails in every place, for the tools of an operator to look at."""

import time
from pathlib import Path

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import Dead, Delayed, Entry, NewMail, Settlement
from fastmail_ingest.model.identity import content_hash, content_key
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from support.redis_server import RedisServer

UID_VALIDITY = 7


class Operated:
    """One stream, on a Redis that is emptied first. Mails are named by their UID in an account's mailbox."""

    def __init__(self, server: RedisServer, *, empty: bool = True) -> None:
        self.url = server.url
        self.client = server.client()
        if empty:
            self.client.flushall()
        self.arguments = Arguments(Keys("fmi"), 90)
        self.keys = self.arguments.keys
        self.ledger = Ledger(server.url, "", self.arguments)
        self.ledger.make_groups()

    def identity(self, uid: int, account: str = "a", mailbox: str = "INBOX") -> str:
        return f"{account}:{mailbox}:{UID_VALIDITY}:{uid}"

    def append(self, *uids: int, account: str = "a", mailbox: str = "INBOX", raw: bytes = b"") -> None:
        mails = [self._mail(uid, account, mailbox, raw) for uid in uids]
        key = MailboxKey(account, mailbox)
        self.ledger.append(Append(key, mails, Cursor(UID_VALIDITY, max(uids)), self.ledger.cursor(key)))

    def _mail(self, uid: int, account: str, mailbox: str, raw: bytes) -> NewMail:
        identity = self.identity(uid, account, mailbox)
        raw = raw or b"From: Ann <ann@example.org>\r\nSubject: mail %d\r\n\r\nbody of %d\r\n" % (uid, uid)
        hashed = content_hash(raw + identity.encode())
        envelope = codec.Envelope(
            version=codec.CODEC_VERSION, id=identity, account=account, mailbox=mailbox,
            uid_validity=UID_VALIDITY, uid=uid, flags=("\\Seen",), labels=(), thread_id="",
            internal_date=time.time(), size=len(raw), content_hash=hashed, fetched_at=time.time(),
            trace_id="0" * 32, raw=raw,
        )  # fmt: skip
        return NewMail(identity, content_key(account, hashed), codec.encode(envelope))

    def entries(self) -> list[Entry]:
        """All entries in the lanes."""
        return [
            Entry(lane, entry_id, fields[b"m"])
            for lane in Lane
            for entry_id, fields in self.client.xrange(self.keys.lanes[lane])
        ]

    def finish(self) -> int:
        """Settle all that is in the lanes as done."""
        settlement = Settlement()
        for entry in self.entries():
            settlement.add_done(entry, codec.decode(entry.payload).id, 0.0)
        self.ledger.settle(settlement)
        return len(settlement)

    def bury(
        self, *uids: int, reason: str = "retries_exhausted", error: str = "ValueError", message: str = "no good",
        account: str = "a", mailbox: str = "INBOX", raw: bytes = b"", traceback: str = "Traceback: here\n",
    ) -> None:  # fmt: skip
        """Append mails and make dead letters of them."""
        self.append(*uids, account=account, mailbox=mailbox, raw=raw)
        settlement = Settlement()
        for entry in self.entries():
            identity = codec.decode(entry.payload).id
            settlement.add_failed(Dead(entry, identity, reason, error, message, traceback))
        self.ledger.settle(settlement)

    def bury_foreign(self, fields: dict[str, bytes]) -> None:
        """What another program wrote becomes a dead letter."""
        entry_id = self.client.xadd(self.keys.lanes[Lane.LIVE], fields)  # type: ignore[arg-type]
        entry = Entry(Lane.LIVE, entry_id, fields.get("m", b""))
        self.ledger.settle(Settlement(dead=[Dead(entry, "", "undecodable", "UndecodableEntry", "?")]))

    def delay(self, *uids: int, after_s: float = 60, error: str = "ValueError: no good") -> None:
        """Append mails and let them wait for a retry."""
        self.append(*uids)
        settlement = Settlement()
        for entry in self.entries():
            settlement.add_failed(Delayed(entry, codec.decode(entry.payload).id, after_s, error))
        self.ledger.settle(settlement)

    def letter_ids(self) -> list[str]:
        return [entry_id.decode() for entry_id, _ in self.client.xrange(self.keys.dead)]

    def config(self, directory: Path, more: str = "") -> Path:
        """A configuration for this stream."""
        path = directory / "supervisor.toml"
        path.write_text(f'[redis]\nurl = "{self.url}"\n{more}')
        path.chmod(0o600)
        return path
