"""A stream with one ledger and one worker, for tests of what others do to it."""

import asyncio

import redis

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import Entry, NewMail, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor
from fastmail_ingest.pipeline.opening import open_mail
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from support.redis_server import RedisServer
from support.stream_world import MAILBOXES

INBOX = MAILBOXES[0]


class Stream:
    """A ledger and one worker."""

    def __init__(self, server: RedisServer) -> None:
        self.client: redis.Redis = server.client()
        self.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.arguments = Arguments(Keys("fmi"), 90)
        self.keys = self.arguments.keys
        self.live = self.keys.lanes[Lane.LIVE]
        self.ledger = Ledger(server.url, "", self.arguments)
        self.ledger.make_groups()
        self.worker = Lanes(server.url, "", self.arguments, "n:1", block_ms=1)

    def append(self, *mails: NewMail, last_uid: int = 1) -> int:
        believed = self.ledger.cursor(INBOX)
        return self.ledger.append(Append(INBOX, mails, Cursor(1, last_uid), believed)).new

    def read(self, count: int = 1000) -> list[Entry]:
        entries: list[Entry] = self.loop.run_until_complete(self.worker.read(count))
        return entries

    def settle(self, settlement: Settlement) -> int:
        return self.loop.run_until_complete(self.worker.settle(settlement))

    def open_all(self) -> Settlement:
        """What a worker makes of all that it is given, with a handler that takes anything."""
        settlement = Settlement()
        for entry in self.read():
            if (opened := open_mail(entry, settlement)) is not None:
                settlement.add_done(entry, opened.email.id, 0.0)
        self.settle(settlement)
        return settlement

    def close(self) -> None:
        self.loop.run_until_complete(self.worker.close())
        self.ledger.close()
        self.loop.close()
