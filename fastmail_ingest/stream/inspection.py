"""A look at the whole stream: which mails stand in it, and which of them twice."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from fastmail_ingest.model.census import Census
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import glob_of
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.reach import CALL_BYTES, Tool
from fastmail_ingest.stream.scripts import Arguments, Page

_PAGE = 1000
_HASH_BITS = 0xFFFF_FFFF_FFFF_FFFF


class Place(msgspec.Struct, frozen=True):
    """Where a mail stands: in a lane or among the dead letters with its entry id, or waiting for a retry."""

    where: str  # again, live, backfill, dead or delayed
    entry_id: str = ""

    def __str__(self) -> str:
        return f"{self.where} {self.entry_id}".rstrip()


class Double(msgspec.Struct, frozen=True):
    """A mail that stands where it should not: in two places, or in one though it is done."""

    identity: str
    places: tuple[Place, ...] = ()
    done: bool = False


class Inspection(Tool):
    """Reads the stream and changes nothing. Nothing is read as a whole but 8 bytes for each mail in it."""

    scripts = ("entries",)

    @property
    def ledger(self) -> Ledger:
        """The same stream as producers and maintenance see it."""
        return self._ledger

    def __init__(self, url: str, password: str, arguments: Arguments) -> None:
        super().__init__(url, password, arguments)
        self._ledger = Ledger(url, password, arguments)
        self._streams = {lane.label: key for lane, key in self._keys.lanes.items()}
        self._streams["dead"] = self._keys.dead

    def census(self) -> Census:
        """Count what is where."""
        with self._reached():
            return self._ledger.census()

    def cursor(self, key: MailboxKey) -> Cursor:
        """How far a mailbox is taken over."""
        with self._reached():
            return self._ledger.cursor(key)

    def states(self, identities: Sequence[str]) -> list[str]:
        """What the ledger knows of each mail: unknown, queued, done, both."""
        with self._reached():
            return self._ledger.states(identities)

    def forgotten_until_ms(self) -> int:
        """The time before which handled mails may have been cleared from memory; 0 if that never was done."""
        with self._reached():
            return int(self._redis.get(self._keys.forgotten) or 0)

    def followed_since_ms(self, key: MailboxKey) -> int:
        """Since when a mailbox is followed; 0 if that was not written down."""
        with self._reached():
            since = self._redis.hget(self._keys.cursor(key), "since") or b""
        return int(since) if since.isdigit() else 0

    def followed(self) -> list[str]:
        """The mailboxes with a cursor, as account:mailbox."""
        with self._reached():
            found = self._redis.scan_iter(match=glob_of(self._keys.cursors), count=_PAGE)
            return sorted(key.decode("utf-8", "replace")[len(self._keys.cursors) :] for key in found)

    def doubles(self) -> Iterator[Double]:
        """Mails that stand in two places at one moment, and those that wait though they are done."""
        hashes = array("Q", (hash(name) & _HASH_BITS for name, _ in self._entries()))
        suspects = _repeated(hashes)
        if suspects:
            # As keys of a dict: Redis may name a member twice while it is looking through a set.
            found: dict[str, dict[Place, None]] = {}
            for name, place in self._entries():
                if hash(name) & _HASH_BITS in suspects:
                    found.setdefault(name, {})[place] = None
            for name, places in found.items():
                # A mail that went from one place to the next meanwhile was seen in both.
                there = self._still_there(name, list(places)) if len(places) > 1 else ()
                if len(there) > 1:
                    yield Double(name, there)
        yield from self._done_and_queued()

    def _entries(self) -> Iterator[tuple[str, Place]]:
        for where, stream in self._streams.items():
            first = "-"
            while page := self._page(stream, first, _PAGE):
                for entry_id, name in page:
                    if name:
                        yield name, Place(where, entry_id)
                first = f"({page[-1][0]}"
        with self._reached():
            for name, _ in self._redis.zscan_iter(self._keys.delayed, count=_PAGE):
                yield name.decode("utf-8", "replace"), Place("delayed")

    def _page(self, stream: str, first: str, most: int) -> list[tuple[str, str]]:
        rows = self._run("entries", self._arguments.entries(stream, Page(first, "+", most, CALL_BYTES)))
        return [(entry_id.decode(), name.decode("utf-8", "replace")) for entry_id, name in rows]

    def _still_there(self, name: str, places: Sequence[Place]) -> tuple[Place, ...]:
        with self._reached():
            pipe = self._redis.pipeline(transaction=True)
            for place in places:
                if place.where == "delayed":
                    pipe.zscore(self._keys.delayed, name)
                else:
                    # One entry, and not its mail: XRANGE would bring all of it.
                    page = Page(place.entry_id, place.entry_id, 1, CALL_BYTES)
                    call = self._arguments.entries(self._streams[place.where], page)
                    self._scripts["entries"](call.keys, call.args, client=pipe)
            answers = pipe.execute()
        return tuple(place for place, answer in zip(places, answers, strict=True) if answer not in (None, []))

    def _done_and_queued(self) -> Iterator[Double]:
        chunk: list[str] = []
        with self._reached():
            for name in self._redis.sscan_iter(self._keys.queued, count=_PAGE):
                chunk.append(name.decode("utf-8", "replace"))
                if len(chunk) >= _PAGE:
                    yield from self._both(chunk)
                    chunk = []
        yield from self._both(chunk)

    def _both(self, names: Sequence[str]) -> Iterator[Double]:
        for name, state in zip(names, self.states(names), strict=True):
            if state == "both":
                yield Double(name, done=True)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._ledger.close()


def _repeated(hashes: "array[int]") -> set[int]:
    ordered = sorted(hashes)
    return {one for one, other in pairwise(ordered) if one == other}
