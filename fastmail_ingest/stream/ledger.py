"""The blocking side of the stream, for producers and maintenance: append, cursors, the dead's work."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
import redis.exceptions

from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.connect import UNAVAILABLE, connect
from fastmail_ingest.stream.keys import GROUP
from fastmail_ingest.stream.scripts import Arguments, source

_PUT_BACK_BUDGET = 200
_PROMOTE_BUDGET = 200
_PROMOTE_CALLS = 20  # then the other duties of a round are due


class Appended(NamedTuple):
    """How many mails were new, and how many wait now (see `Ledger.waiting`)."""

    new: int
    waiting: int


class Counts(NamedTuple):
    """What is where: entries in the lanes, waiting for a retry, dead."""

    lanes: int
    delayed: int
    dead: int


class Ledger:
    """The stream as producers and maintenance see it. May be shared by threads.

    All methods raise one of `unavailable` when Redis is away; each may be called again then.
    """

    unavailable = UNAVAILABLE

    def __init__(self, url: str, password: str, arguments: Arguments) -> None:
        self._redis = connect(url, password)
        self._arguments = arguments
        self._keys = arguments.keys
        self._append = self._redis.register_script(source("append"))
        self._put_back = self._redis.register_script(source("put_back"))
        self._promote = self._redis.register_script(source("promote"))

    def ping(self) -> None:
        """Ask whether Redis is there."""
        self._redis.ping()

    # --- producers -----------------------------------------------------------------------------

    def cursor(self, key: MailboxKey) -> Cursor:
        """How far a mailbox is taken over; all zero for one that was never read."""
        values: list[Any] = self._redis.hmget(
            self._keys.cursor(key), ["uid_validity", "last_uid", "match_until"]
        )
        return Cursor(*(int(value or 0) for value in values))

    def append(
        self,
        key: MailboxKey,
        mails: Sequence[NewMail],
        cursor: Cursor,
        *,
        by_content: bool = False,
        lane: Lane = Lane.LIVE,
    ) -> Appended:
        """Take mails into a lane, once each, and move the cursor. Safe to repeat.

        `by_content` also recognises mails that came under another name before (UIDVALIDITY changed).
        """
        call = self._arguments.append(key, lane, mails, cursor, now=time.time(), by_content=by_content)
        return Appended(*self._append(call.keys, call.args))

    def waiting(self) -> int:
        """Mails that are in a lane, in hand, or waiting for a retry: all that memory is needed for."""
        return int(self._redis.scard(self._keys.queued)) - int(self._redis.xlen(self._keys.dead))

    # --- maintenance ---------------------------------------------------------------------------

    def make_groups(self) -> None:
        """Make lanes and consumer group where they are missing."""
        for stream in self._keys.lanes.values():
            try:
                self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except redis.exceptions.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def renew_lease(self, node_id: str, lease_s: float) -> None:
        """Say that this supervisor's host lives, for so many seconds."""
        key, lease_ms = self._keys.node(node_id), int(lease_s * 1000)
        # A Redis without memory refuses SET, but not to let a key live on.
        if not self._redis.pexpire(key, lease_ms):
            self._redis.set(key, str(int(time.time())), px=lease_ms)

    def end_lease(self, node_id: str) -> None:
        """Say that this supervisor is gone: others need not wait for the lease to run out."""
        self._redis.delete(self._keys.node(node_id))

    def consumers(self) -> set[str]:
        """The names of all consumers of all lanes, living or dead."""
        names: set[str] = set()
        for stream in self._keys.lanes.values():
            consumers: list[dict[str, Any]] = self._redis.xinfo_consumers(stream, GROUP)
            names.update(consumer["name"].decode() for consumer in consumers)
        return names

    def put_back(
        self,
        consumer: str,
        deaths_max: int,
        *,
        blamed: Sequence[tuple[Lane, bytes]] = (),
        client_id: int = 0,
        lease_of: str = "",
    ) -> tuple[int, int]:
        """Give a dead consumer's entries back; returns (moved, made dead letters), (-1, 0) if its node lives.

        `client_id` is the dead worker's reading connection: Redis may not have noticed the death yet,
        and would serve the blocked read of a dead process.
        """
        if client_id:
            self._redis.client_kill_filter(_id=str(client_id))
        moved = buried = 0
        while True:
            call = self._arguments.put_back(
                consumer, time.time(), _PUT_BACK_BUDGET, deaths_max, blamed=blamed, lease_of=lease_of
            )
            batch, dead, more = self._put_back(call.keys, call.args)
            if batch < 0:
                return -1, 0
            moved, buried = moved + batch, buried + dead
            if not more:
                return moved, buried

    def promote(self) -> int:
        """Move due retries into `again`; returns how many, which may not be all if there are thousands."""
        total = 0
        for _ in range(_PROMOTE_CALLS):
            call = self._arguments.promote(time.time(), _PROMOTE_BUDGET)
            moved: int = self._promote(call.keys, call.args)
            total += moved
            if moved < _PROMOTE_BUDGET:
                break
        return total

    def counts(self) -> Counts:
        """Count what is where."""
        pipe = self._redis.pipeline(transaction=False)
        for stream in self._keys.lanes.values():
            pipe.xlen(stream)
        pipe.zcard(self._keys.delayed)
        pipe.xlen(self._keys.dead)
        *lanes, delayed, dead = pipe.execute()
        return Counts(sum(lanes), delayed, dead)

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()
