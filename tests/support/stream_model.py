"""What the scripts are to do, in plain sets and dictionaries: one method for each call."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from support.stream_view import COUNT_MAX, Place, View

LANES = ("again", "live", "backfill")
UNREAD, ORPHAN = None, "(nobody)"


@dataclass
class Item:
    """A mail, or what another program wrote, in its one place."""

    name: str
    stream: str
    size: int
    book: str = ""  # what `queued` knows it by, once it does
    owner: str | None = UNREAD
    failures: int = 0
    returns: int = 0
    deaths: int = 0
    seen: bool = False  # a handler may have seen it before it was put where it is
    payload: bool = True  # there is one; of ours, if `named`
    named: bool = True
    id: bytes = b""

    @property
    def place(self) -> Place:
        """What can be seen of it."""
        owner = None if self.owner == ORPHAN else self.owner
        counts = (min(count, COUNT_MAX) for count in (self.failures, self.returns, self.deaths))
        return Place(self.stream, owner, *counts)

    @property
    def order(self) -> tuple[int, int]:
        """Entry ids by time."""
        milliseconds, sequence = self.id.split(b"-")
        return int(milliseconds), int(sequence)


@dataclass
class Model:
    """The whole stream. `broken` from a hand's removing something until the books are mended."""

    items: dict[str, Item] = field(default_factory=dict)
    queued: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    contents: dict[bytes, str] = field(default_factory=dict)
    content_of: dict[str, bytes] = field(default_factory=dict)
    cursors: dict[MailboxKey, Cursor] = field(default_factory=dict)
    scored: dict[str, bool] = field(default_factory=dict)  # -> whether it is due
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)  # lane -> regroup up to this id
    ghosts: dict[tuple[str, bytes], Item] = field(default_factory=dict)  # removed by hand while in hand
    weight: int = 0  # bytes that wait
    broken: bool = False
    drifted: bool = False  # the bytes are not exact
    handled: Counter[str] = field(default_factory=Counter)
    forgotten: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)  # forgotten, and marked so by reconcile
    excused: set[bytes] = field(default_factory=set)  # contents that a hand, or an operator, took away

    # --- views -----------------------------------------------------------------------------------

    def lane(self, lane: str) -> list[Item]:
        """What is in a lane, oldest first."""
        return sorted((item for item in self.items.values() if item.stream == lane), key=attrgetter("order"))

    def held_by(self, consumer: str) -> list[Item]:
        """What a consumer holds."""
        return [item for lane in LANES for item in self.lane(lane) if item.owner == consumer]

    def current(self, lane: str, entry_id: bytes) -> Item | None:
        """What is there now."""
        return next((i for i in self.items.values() if (i.stream, i.id) == (lane, entry_id)), None)

    def check(self, view: View) -> None:
        """Compare with what was seen from outside, and learn the entry ids."""
        assert not view.twice, f"in two entries: {view.twice}"
        assert view.places == {name: item.place for name, item in self.items.items()}
        assert view.books == self.queued
        assert view.scored == set(self.scored)
        for name, item in self.items.items():
            item.id = view.ids[name]
            if item.stream == "dead" and not item.named and (not item.book or item.book == "?"):
                item.book = view.letters[name]
            assert not item.seen or item.failures + item.returns > 0, f"{name} would come as if unseen"
        if self.broken:
            return
        unknown = [item for item in self.items.values() if item.book not in self.queued]
        assert len(self.queued) == len(self.items) - len(unknown)
        assert self.drifted or view.bytes == self.weight
        assert self.weight == sum(i.size for i in self.items.values() if self._counts(i))

    def _counts(self, item: Item) -> bool:
        return item.stream != "dead" and item.book in self.queued

    # --- producers -------------------------------------------------------------------------------

    def append(self, append: Append, lane: str) -> int:
        """Returns how many were new."""
        tag, new = append.key.mailbox, 0
        for mail in append.mails:
            self.content_of[mail.identity] = mail.content_key
            if mail.identity in self.queued or mail.identity in self.done:
                continue
            where = self.contents.get(mail.content_key)
            seen = where is not None and mail.identity not in self.lost
            if seen and (append.by_content or where != tag):
                self.done.add(mail.identity)
                continue
            self.queued.add(mail.identity)
            self.items[mail.identity] = Item(mail.identity, lane, len(mail.payload), mail.identity)
            self.contents.setdefault(mail.content_key, tag)
            self.weight += len(mail.payload)
            new += 1
        self._move(append, self.cursors.get(append.key, Cursor()))
        return new

    def _move(self, append: Append, cursor: Cursor) -> None:
        after = append.cursor
        if not after.uid_validity or self._at(cursor) not in (self._at(append.believed), self._at(after)):
            return
        self.cursors[append.key] = after

    @staticmethod
    def _at(cursor: Cursor) -> tuple[int, int]:
        return cursor.uid_validity, cursor.last_uid

    # --- workers ---------------------------------------------------------------------------------

    def read(self, consumer: str, count: int) -> list[Item]:
        """What the consumer is given."""
        given = [item for lane in LANES for item in [i for i in self.lane(lane) if i.owner is UNREAD][:count]]
        for item in given:
            item.owner = consumer
        return given

    def settle_done(self, lane: str, entries: Sequence[tuple[bytes, str]]) -> int:
        """Entry ids and names; returns how many were ignored."""
        found = [self.current(lane, entry_id) for entry_id, _ in entries]
        held = [item is not None and item.owner not in (UNREAD, ORPHAN) for item in found]
        ghosts = [self.ghosts.pop((lane, entry_id), None) for entry_id, _ in entries]
        all_acked = all(in_hand or ghost for in_hand, ghost in zip(held, ghosts, strict=True))
        ignored = 0
        for (_, name), item, ghost in zip(entries, found, ghosts, strict=True):
            if item is None and not (ghost and all_acked):
                ignored += 1
                continue
            known = name in self.queued
            # All at once is quick, and takes the worker's word for the bytes: they are wrong for a mail that
            # the books had forgotten, until they are mended or nothing waits.
            self.drifted = self.drifted or (all_acked and not known)
            self.weight -= (item or ghost).size if known else 0  # type: ignore[union-attr]
            if item is not None:
                del self.items[name]
            self.queued.discard(name)
            self.done.add(name)
            self.handled[name] += 1
        return ignored

    def settle_delayed(self, lane: str, entry_id: bytes, *, counts: bool, due: bool) -> int:
        """Returns 1 if ignored."""
        self.ghosts.pop((lane, entry_id), None)
        if (item := self.current(lane, entry_id)) is None:
            return 1
        item.stream, item.owner, item.seen = "delayed", UNREAD, True
        item.failures, item.returns = item.failures + counts, item.returns + (not counts)
        self.scored[item.name] = due
        return 0

    def settle_dead(self, lane: str, entry_id: bytes) -> int:
        """Returns 1 if ignored."""
        self.ghosts.pop((lane, entry_id), None)
        if (item := self.current(lane, entry_id)) is None:
            return 1
        self._bury(item)
        return 0

    def foreign_name(self, item: Item) -> str:
        """By its id, which an entry of another lane may have, too."""
        name = f"foreign:{item.id.decode()}"
        while name in self.queued:
            name += "0"
        return name

    def _bury(self, item: Item) -> None:
        item.book = item.name if item.named else self.foreign_name(item)
        if item.book in self.queued:
            self.weight -= item.size
        self.queued.add(item.book)
        item.stream, item.owner, item.seen = "dead", UNREAD, False

    def again(self, item: Item, *, seen: bool) -> None:
        """Put into `again` what is somewhere else."""
        item.stream, item.owner = "again", UNREAD
        item.returns += seen
        item.seen = item.seen or seen

    def put_back(
        self, consumer: str, blamed: Iterable[tuple[str, bytes]], deaths_max: int, *, may_have_run: bool
    ) -> tuple[int, int]:
        """Returns (moved, buried)."""
        moved = buried = 0
        guilty = set(blamed)
        self.ghosts = {at: ghost for at, ghost in self.ghosts.items() if ghost.owner != consumer}
        for item in self.held_by(consumer):
            item.deaths += (item.stream, item.id) in guilty
            if not item.payload or item.deaths >= deaths_max:
                self._bury(item)
                buried += 1
            else:
                self.again(item, seen=may_have_run)
                moved += 1
        return moved, buried

    # --- dead letters and retries ----------------------------------------------------------------

    def promote(self) -> int:
        """Returns how many were looked at."""
        due = [name for name, is_due in self.scored.items() if is_due]
        for name in due:
            del self.scored[name]
            if name in self.items and self.items[name].stream == "delayed":
                self.again(self.items[name], seen=False)
        return len(due)

    def replay(self, items: Iterable[Item]) -> int:
        """Returns how many came."""
        replayed = 0
        for item in items:
            if item.stream != "dead" or not item.named or item.book != item.name:
                continue
            item.returns, item.failures = max(item.failures + item.returns, 1), 0
            item.deaths = min(item.deaths, 1)
            self.again(item, seen=False)
            item.seen = True
            self.weight += item.size
            replayed += 1
        return replayed

    def discard(self, items: Iterable[Item]) -> None:
        """An operator's hand."""
        for item in items:
            del self.items[item.name]
            self.queued.discard(item.book)
            if not item.book.startswith("foreign:"):
                self.done.add(item.book)
            if item.name in self.content_of:
                self.excused.add(self.content_of[item.name])

    # --- groups ----------------------------------------------------------------------------------

    def lose_group(self, lane: str) -> None:
        """The consumer group of a lane was removed."""
        self.ghosts = {at: ghost for at, ghost in self.ghosts.items() if at[0] != lane}
        for item in self.lane(lane):
            item.owner = ORPHAN

    def remake_group(self, lane: str) -> None:
        """It was made anew: behind what is there."""
        self.marks.pop(lane, None)
        for item in self.lane(lane):
            item.owner = ORPHAN
            self.marks[lane] = item.order

    def regroup(self) -> tuple[int, bool]:
        """Returns (moved, finished), with no grace."""
        moved, finished = 0, True
        for lane in LANES:
            there = self.lane(lane)
            if lane not in self.marks:
                if any(item.owner == ORPHAN for item in there):
                    self.marks[lane] = max(item.order for item in there if item.owner is not UNREAD)
                    finished = False
                continue
            covered = [item for item in there if item.order <= self.marks[lane]]
            orphans = [item for item in covered if item.owner == ORPHAN]
            for item in orphans:
                self.again(item, seen=True)
            moved += len(orphans)
            del self.marks[lane]
        return moved, finished
