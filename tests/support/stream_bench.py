"""The real stream beside its model: every step is made on both, and both must tell the same."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import redis

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments, Call, source
from support.redis_server import RedisServer
from support.stream_model import LANES, Item, Model
from support.stream_view import look
from support.stream_world import MAILBOXES, UIDS, mail_at

CONSUMERS = ("n:1", "n:2", "n:3")
_STRAY = re.compile(rb"stray-\d+")


class Bench:
    """One server, used for many examples: `clear` begins a new one."""

    def __init__(self, server: RedisServer) -> None:
        self.client = server.client()
        self.client.config_set("hz", "500")  # an idle Redis ends a blocked read at its next tick only
        self.loop = asyncio.new_event_loop()
        self.arguments = Arguments(Keys("fmi"), 90)
        self.keys = self.arguments.keys
        self.ledger = Ledger(server.url, "", self.arguments)
        self.lanes = {name: Lanes(server.url, "", self.arguments, name, block_ms=1) for name in CONSUMERS}
        self.server = server
        self.clear()
        for lanes in self.lanes.values():
            self.loop.run_until_complete(lanes.open())

    def clear(self) -> None:
        """An empty database, and an empty model."""
        self.client.config_set("maxmemory", "0")
        self.client.flushall()
        self.model = Model()
        self.names: dict[bytes, str] = {}  # payload -> name
        self.hands: dict[str, list[Entry]] = {name: [] for name in CONSUMERS}
        self.validity = dict.fromkeys(MAILBOXES, 1)
        self.believed = {key: [Cursor()] for key in MAILBOXES}
        self.strays = 0
        self.full, self.full_steps = False, 0
        self.sound = True
        self.groups_lost = False
        self.ledger.make_groups()

    def close(self) -> None:
        for lanes in self.lanes.values():
            self.loop.run_until_complete(lanes.close())
        self.ledger.close()
        self.loop.close()
        self.server.close()

    # --- one step on both ------------------------------------------------------------------------

    def both(self, real: Callable[[], Any], model: Callable[[], Any]) -> Any:
        """Do it on both and compare what they say; nothing at all is done where Redis has no memory for it."""
        try:
            said = real()
        except redis.exceptions.OutOfMemoryError:
            assert self.full
            return None
        expected = model()
        assert said == expected, f"{said}, and not {expected}"
        return said

    def wait(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def script(self, name: str, call: Call) -> Any:
        return self.client.register_script(source(name))(call.keys, call.args)

    def name_of(self, fields: dict[bytes, bytes]) -> str:
        if (name := self.names.get(fields.get(b"m", b""))) is not None:
            return name
        found = _STRAY.search(b" ".join(fields.values()))
        assert found, fields
        return found[0].decode()

    def name_of_entry(self, entry: Entry) -> str:
        """By its payload, or, where that is empty, by where it is or was."""
        if entry.payload:
            return self.name_of({b"m": entry.payload})
        item = self.model.current(entry.lane.label, entry.id)
        return item.name if item else ""

    def fill(self, steps: int) -> None:
        """Take the memory away for some steps, or give it back."""
        self.full_steps, self.full = steps, steps > 0
        self.client.config_set("maxmemory", "1" if self.full else "0")

    def check(self) -> None:
        """The invariants of the stream, and all else that the model knows."""
        self.sound = False
        view = look(self.client, self.keys, self.name_of)
        self.model.check(view)
        names = sorted(self.model.queued | self.model.done | set(self.model.content_of))
        for name, state in zip(names, self.ledger.states(names), strict=True):
            queued, done = name in self.model.queued, name in self.model.done
            assert self.model.broken or not (queued and done), name
            assert (
                state == {(0, 0): "unknown", (1, 0): "queued", (0, 1): "done", (1, 1): "both"}[queued, done]
            )
            known = queued or done or name in self.model.forgotten or name not in self.names.values()
            assert known, f"{name} is lost"
        for key in MAILBOXES:
            assert self.ledger.cursor(key) == self.model.cursors.get(key, Cursor())
        for name, count in self.model.handled.items():
            assert count == 1 or name in self.model.forgotten, f"{name} was handled {count} times"
        self.sound = True

    # --- steps of several calls ------------------------------------------------------------------

    def fetch(
        self, key: MailboxKey, last: int, lane: Lane, believed: Cursor, first: int | None = None
    ) -> None:
        """What a producer does that believes the cursor to be there."""
        validity = self.validity[key]
        start, match = believed.last_uid, believed.match_until
        if believed.uid_validity != validity:
            start, match = 0, UIDS if believed.uid_validity else 0
        last = max(last, start)
        mails = [mail_at(key, validity, uid) for uid in range(min(first or start + 1, start + 1), last + 1)]
        self.names.update((mail.payload, mail.identity) for mail in mails)
        cursor = Cursor(validity, last, match if last < match else 0)
        append = Append(key, mails, cursor, believed, match > 0, lane)
        said = self.both(
            lambda: self.ledger.append(append).new, lambda: self.model.append(append, lane.label)
        )
        if said is None:
            for mail in mails:
                if mail.identity not in self.model.content_of:
                    self.names.pop(mail.payload, None)
        if self.model.cursors.get(key) == cursor:
            self.believed[key].append(cursor)

    def read(self, consumer: str, count: int) -> None:
        """The consumer takes what is there."""
        lanes, model = self.lanes[consumer], self.model
        entries: list[Entry] = self.wait(lanes.read(count))
        items = model.read(consumer, count)
        for entry, item in zip(entries, items, strict=True):
            assert (entry.lane.label, entry.id) == (item.stream, item.id)
            assert entry.attempt == 1 + item.place.failures + item.place.returns
            assert entry.attempt > 1 or not item.seen
        # What was in hand long ago makes late settles; a little of it is enough.
        self.hands[consumer] = (self.hands[consumer] + entries)[-12:]

    def settled(self, settlement: Settlement) -> int:
        """What settling it is on the model."""
        model, ignored = self.model, 0
        for lane in Lane:
            if columns := settlement.done.get(lane):
                pairs = list(zip(columns.ids, columns.identities, strict=True))
                ignored += model.settle_done(lane.label, pairs)
        for failed in settlement.delayed:
            entry, due = failed.entry, failed.after_s == 0
            ignored += model.settle_delayed(entry.lane.label, entry.id, counts=failed.counts, due=due)
        for dead in settlement.dead:
            ignored += model.settle_dead(dead.entry.lane.label, dead.entry.id)
        return ignored

    def put_back(self, consumer: str, ending: Ending) -> None:
        """The consumer died, or goes."""
        blamed = [(lane.label, entry_id) for lane, entry_id in ending.blamed]
        self.both(
            lambda: self.ledger.put_back(consumer, ending),
            lambda: self.model.put_back(
                consumer, blamed, ending.deaths_max, may_have_run=ending.may_have_run
            ),
        )

    def remake_groups(self) -> None:
        """What maintenance does at each sweep, and workers that find no group."""
        self.ledger.make_groups()
        if self.groups_lost:
            missing, self.groups_lost = self.lost_lanes, False
            for lane in missing:
                self.model.remake_group(lane)
        self.lost_lanes: set[str] = set()

    def lose_group(self, lane: str) -> None:
        """Its group is gone, whatever else."""
        self.lost_lanes = (self.lost_lanes if self.groups_lost else set()) | {lane}
        self.groups_lost = True

    def current(self, consumer: str) -> list[tuple[Lane, bytes]]:
        """What the consumer really has in hand."""
        held = {(item.stream, item.id) for item in self.model.held_by(consumer)}
        return [(e.lane, e.id) for e in self.hands[consumer] if (e.lane.label, e.id) in held]

    def letters(self) -> list[Item]:
        """The dead."""
        return [item for item in self.model.items.values() if item.stream == "dead"]

    def waiting(self) -> bool:
        """Whether anything is in a lane or waits for a retry."""
        return any(item.stream in (*LANES, "delayed") for item in self.model.items.values())
