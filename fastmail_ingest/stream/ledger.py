"""The blocking side of the stream, for producers and maintenance: append, cursors, the dead's work."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
import redis.exceptions

from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.census import Census
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey
from fastmail_ingest.model.pressure import RedisMemory
from fastmail_ingest.stream.accounts import Accounts
from fastmail_ingest.stream.blobs import Blobs
from fastmail_ingest.stream.connect import ANSWER_TIMEOUT_S, UNAVAILABLE, connect
from fastmail_ingest.stream.counting import memory_of, take_census
from fastmail_ingest.stream.keys import GROUP, glob_of, month_ttl_s
from fastmail_ingest.stream.scripts import Arguments, Call, source

_log = logging.getLogger(__name__)

# Of a cursor's hash, see append.lua.
BEGINNING = ["began_in", "began_at", "began_reread", "since"]
IMPORT_NAME = "name"
_PUT_BACK_BUDGET = 200
_PROMOTE_BUDGET = 200
_PROMOTE_CALLS = 20  # then the other duties of a round are due
_RELEASE_BUDGET = 4000  # more than a worker can hold
_REGROUP_BUDGET = 500
_REGROUP_TRIES = 5  # somebody may be removing groups as fast as we make them
# What workers hold when a consumer group is removed is settled within this time, or they are slow and
# show it in their slots.
REGROUP_GRACE_MS = 1300
_SCRIPTS = (
    "append", "settle", "put_back", "release", "promote", "make_groups", "regroup", "unread", "reconcile",
    "states", "known",
)  # fmt: skip


class Ledger:
    """The stream as producers and maintenance see it. May be shared by threads.

    All methods raise one of `unavailable` when Redis is away; each may be called again then.
    """

    unavailable = UNAVAILABLE

    def __init__(
        self, url: str, password: str, arguments: Arguments, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._redis = connect(url, password, answer_timeout_s)
        self._arguments = arguments
        self._keys = arguments.keys
        self._real_names: dict[str, bytes] = {}  # of consumers; what others chose need not be text
        self.accounts = Accounts(self._redis, self._keys)
        self.blobs = Blobs(self._redis, self._keys)
        self._scripts = {name: self._redis.register_script(source(name)) for name in _SCRIPTS}

    def ping(self) -> None:
        """Ask whether Redis is there."""
        self._redis.ping()

    def _run(self, name: str, call: Call) -> Any:
        """Run a script; where the consumer group is missing, make it and run again.

        Every script may be run again after it stopped in its middle.
        """
        for _ in range(_REGROUP_TRIES):
            try:
                return self._scripts[name](call.keys, call.args)
            except redis.exceptions.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self.make_groups()
        return self._scripts[name](call.keys, call.args)

    # --- producers -----------------------------------------------------------------------------

    def cursor(self, key: MailboxKey) -> Cursor:
        """How far a mailbox is taken over; all zero for one that was never read."""
        values: list[Any] = self._redis.hmget(
            self._keys.cursor(key), ["uid_validity", "last_uid", "match_until"]
        )
        return Cursor(*(int(value or 0) for value in values))

    def beginning(self, key: MailboxKey) -> Beginning:
        """Where a mailbox began, if it began with start = "now"."""
        values: list[Any] = self._redis.hmget(self._keys.cursor(key), BEGINNING)
        validity, last_uid, reread_until, since_ms = (int(value or 0) for value in values)
        return Beginning(validity, last_uid, reread_until, since_ms / 1000)

    def name_import(self, key: MailboxKey, name: str) -> None:
        """Write beside an import's position what its archive is called, for humans."""
        self._redis.hset(self._keys.cursor(key), IMPORT_NAME, name)

    def append(self, append: Append) -> Appended:
        """Take mails into a lane, once each, and move the cursor. Safe to repeat."""
        new, waiting, size, in_place = self._run("append", self._arguments.append(append))
        return Appended(new, waiting, size, bool(in_place))

    def waiting(self) -> tuple[int, int]:
        """Mails that are in a lane, in hand, or waiting for a retry, and their bytes."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.scard(self._keys.queued)
        pipe.xlen(self._keys.dead)
        pipe.get(self._keys.bytes)
        queued, dead, size = pipe.execute()
        return queued - dead, int(size or 0)

    def memory(self) -> RedisMemory:
        """What Redis uses, and what it may use: its maxmemory, else what its machine has."""
        return memory_of(self._redis)

    # --- maintenance ---------------------------------------------------------------------------

    def make_groups(self) -> int:
        """Make lanes and consumer group where they are missing; returns how many had been there before."""
        call = self._arguments.make_groups()
        return int(self._scripts["make_groups"](call.keys, call.args))

    def regroup(self) -> tuple[int, bool]:
        """Bring back what a removed consumer group left without owner; returns how many, and whether all."""
        moved, unfinished = self._run("regroup", self._arguments.regroup(REGROUP_GRACE_MS, _REGROUP_BUDGET))
        return moved, not unfinished

    def claim(self, consumer: str, held: Sequence[tuple[Lane, bytes]]) -> None:
        """Make entries this consumer's own again, whose group was made anew while they were in hand."""
        for lane, entry_id in held:
            # Where the group was removed once more, the next round claims again.
            with _missing_is_nothing():
                self._redis.xclaim(
                    self._keys.lanes[lane], GROUP, consumer, 0, [entry_id], force=True, justid=True
                )

    def renew_lease(self, node_id: str, lease_s: float) -> None:
        """Say that this supervisor's host lives, for so many seconds."""
        key, lease_ms = self._keys.node(node_id), int(lease_s * 1000)
        # A Redis without memory refuses SET, but not to let a key live on.
        if not self._redis.pexpire(key, lease_ms):
            self._redis.set(key, str(int(time.time())), px=lease_ms)

    def end_lease(self, node_id: str) -> None:
        """Say that this supervisor is gone: others need not wait for the lease to run out."""
        self._redis.delete(self._keys.node(node_id))

    def lease_lives(self, node_id: str) -> bool:
        """Whether that supervisor has renewed its lease in time."""
        return bool(self._redis.exists(self._keys.node(node_id)))

    def consumers(self) -> set[str]:
        """The names of all consumers of all lanes, living or dead."""
        names: dict[str, bytes] = {}
        for stream in self._keys.lanes.values():
            with _missing_is_nothing():
                consumers: list[dict[str, Any]] = self._redis.xinfo_consumers(stream, GROUP)
                for consumer in consumers:
                    names[consumer["name"].decode("utf-8", "backslashreplace")] = consumer["name"]
        self._real_names = names
        return set(names)

    def put_back(self, consumer: str, ending: Ending, client_id: int = 0) -> tuple[int, int]:
        """Give a dead consumer's entries back; returns (moved, made dead letters), (-1, 0) if its node lives.

        `client_id` is the dead worker's reading connection: Redis may not have noticed the death yet,
        and would serve the blocked read of a dead process.
        """
        if client_id:
            self._redis.client_kill_filter(_id=str(client_id))
        call = self._arguments.put_back(consumer, _PUT_BACK_BUDGET, ending)
        call.args[1] = self._real_names.get(consumer, consumer)
        moved = buried = 0
        while True:
            batch, dead, more = self._run("put_back", call)
            if batch < 0:
                return -1, 0
            moved, buried = moved + batch, buried + dead
            if not more:
                return moved, buried

    def settle(self, settlement: Settlement) -> int:
        """Write down what became of entries; returns how many were no longer ours. Safe to repeat."""
        ignored: int = self._run("settle", self._arguments.settle(settlement))
        return ignored

    def release(self, consumer: str, client_id: int, held: Sequence[tuple[Lane, bytes]]) -> int:
        """Give everybody what a busy consumer has been given beside `held`; returns how many.

        `client_id` is its reading connection, on which nothing more may come.
        """
        self._redis.client_unblock(client_id)
        moved: int = self._run("release", self._arguments.release(consumer, _RELEASE_BUDGET, held))
        return moved

    def promote(self) -> int:
        """Move due retries into `again`; returns how many, which may not be all if there are thousands."""
        total = 0
        for _ in range(_PROMOTE_CALLS):
            moved: int = self._run("promote", self._arguments.promote(_PROMOTE_BUDGET))
            total += moved
            if moved < _PROMOTE_BUDGET:
                break
        return total

    def census(self) -> Census:
        """Count what is where, all at one moment."""
        return take_census(self._redis, self._keys)

    def unread(self) -> bool:
        """Whether there is an entry that was given to no worker yet."""
        return bool(self._run("unread", self._arguments.unread()))

    def reconcile(self) -> tuple[int, int, list[str]]:
        """Mend books that do not agree; returns how many mails were forgotten (they are fetched again), how
        many were taken in, and names of some of the forgotten.
        """
        # A name that is no text, or a key of another kind, was made by another program.
        found = self._redis.scan_iter(match=glob_of(self._keys.cursors), count=1000, _type="hash")
        cursors = [name for key in found if "\ufffd" not in (name := key.decode("utf-8", "replace"))]
        call = self._arguments.reconcile(cursors)
        keep_days = self._arguments.keep_days
        call.args.extend((self._keys.done, keep_days, month_ttl_s(keep_days)))
        forgotten, taken_in, names, removed = self._run("reconcile", call)
        if removed:
            _log.warning("%d superfluous entries were removed: their mails are elsewhere, or done", removed)
        return forgotten, taken_in, [name.decode("utf-8", "replace") for name in names]

    # --- everybody -----------------------------------------------------------------------------

    def known(self, mails: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Whether the ledger knows each mail, by its identity or its content key."""
        return [bool(known) for known in self._run("known", self._arguments.known(mails))]

    def states(self, identities: Sequence[str]) -> list[str]:
        """What the ledger knows of each mail: unknown, queued, done; both if the books are broken."""
        found = self._run("states", self._arguments.states(identities)) if identities else []
        return [_STATES[state] for state in found]

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()


_STATES = ("unknown", "queued", "done", "both")


@contextmanager
def _missing_is_nothing() -> Iterator[None]:
    """A lane or group that somebody removed just now is made anew by whoever needs it next."""
    try:
        yield
    except redis.exceptions.ResponseError as error:
        if not str(error).startswith(("NOGROUP", "ERR no such key", "no such key")):
            raise
