"""The Lua scripts as typed calls: which keys, which arguments, in the order the script's head says."""

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Dead, Delayed, Settlement
from fastmail_ingest.model.identity import mailbox_tag
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Beginning
from fastmail_ingest.stream.keys import GROUP, Keys, month_ttl_s

TRACEBACK_MAX_BYTES = 8 * 1024
MESSAGE_MAX_BYTES = 1024
DELAYED_ERROR_MAX_BYTES = 200

_USES = re.compile(r"^-- USES: +([a-z ]+)$", re.MULTILINE)
_Argument = str | bytes | int


def source(name: str) -> str:
    """The text of a script, with what it uses in front."""
    text = _text(name)
    used = _USES.search(text)
    return "\n".join([*(_text(f"_{part}") for part in (used[1].split() if used else ())), text])


def _text(name: str) -> str:
    return resources.files("fastmail_ingest.stream").joinpath("scripts", f"{name}.lua").read_text("utf-8")


class Call(NamedTuple):
    """The keys and arguments of one script call."""

    keys: Sequence[str | bytes]
    args: list[_Argument]


class Page(NamedTuple):
    """A part of a stream: from `first` to `last`, at most `most` entries or about `size` bytes."""

    first: str
    last: str
    most: int
    size: int


class Arguments:
    """Builds the calls for one keyspace and one retention."""

    def __init__(self, keys: Keys, keep_days: int) -> None:
        self.keys = keys
        self.keep_days = keep_days
        self._kept: list[_Argument] = [keep_days, month_ttl_s(keep_days)]

    def append(self, append: Append) -> Call:
        """`append.lua`: returns [appended, mails that wait, their bytes, cursor in place]."""
        keys = self.keys
        names = [
            keys.lanes[append.lane],
            keys.queued,
            keys.cursor(append.key),
            keys.dead,
            keys.bytes,
            keys.done,
        ]
        cursor, believed = append.cursor, append.believed
        tag = mailbox_tag(append.found_in or append.key.mailbox)
        args = [*self._kept, "1" if append.by_content else "0", tag]
        args += (cursor.uid_validity, cursor.last_uid, cursor.match_until)
        args += (believed.uid_validity, believed.last_uid)
        began = append.began or Beginning()
        args += (began.uid_validity, began.last_uid, began.reread_until)
        for mail in append.mails:
            args += mail
        return Call(names, args)

    def settle(self, settlement: Settlement) -> Call:
        """`settle.lua`: returns the number of entries that were no longer ours."""
        keys = self.keys
        names = [
            *self._lanes(),
            keys.queued,
            keys.delayed,
            keys.delayed_body,
            keys.dead,
            keys.bytes,
            keys.done,
        ]
        args: list[_Argument] = [GROUP, *self._kept]
        for lane in Lane:
            columns = settlement.done.get(lane)
            args += (len(columns.ids), columns.size) if columns else (0, 0)
            if columns:
                args += columns.ids
                args += columns.identities
        args.append(len(settlement.delayed))
        for failed in settlement.delayed:
            args += _delayed(failed)
        args.append(len(settlement.dead))
        for dead in settlement.dead:
            args += _dead(dead)
        return Call(names, args)

    def put_back(self, consumer: str, budget: int, ending: Ending) -> Call:
        """`put_back.lua`: returns [moved, made dead letters, more]; [-1, 0, 0] if `lease_of` still lives."""
        names = [*self._lanes(), self.keys.dead, self.keys.queued, self.keys.bytes]
        if ending.lease_of:
            names.append(self.keys.node(ending.lease_of))
        args: list[_Argument] = [GROUP, consumer, budget, "1" if ending.may_have_run else "0"]
        args += (ending.deaths_max, ending.reason, *_pairs(ending.blamed))
        return Call(names, args)

    def release(self, consumer: str, budget: int, held: Sequence[tuple[Lane, bytes]]) -> Call:
        """`release.lua`: returns how many of the consumer's other entries were given to everybody."""
        return Call(self._lanes(), [GROUP, consumer, budget, *_pairs(held)])

    def owned(self, consumer: str, entries: Iterable[tuple[Lane, bytes]]) -> Call:
        """`owned.lua`: returns 1 for each entry that still is this consumer's, else 0."""
        return Call(self._lanes(), [GROUP, consumer, *_pairs(entries)])

    def hand_back(self, entries: Iterable[tuple[Lane, bytes]]) -> Call:
        """`hand_back.lua`: returns how many were put into `again`."""
        return Call(self._lanes(), [GROUP, *_pairs(entries)])

    def promote(self, budget: int, identities: Sequence[str] = ()) -> Call:
        """`promote.lua`: returns how many due retries it looked at; with `identities` these, due or not."""
        names = [self.keys.again, self.keys.delayed, self.keys.delayed_body]
        return Call(names, [budget, *identities])

    def make_groups(self) -> Call:
        """`make_groups.lua`: returns how many had to be made anew."""
        return Call([*self._lanes(), self.keys.groups], [GROUP])

    def regroup(self, grace_ms: int, budget: int) -> Call:
        """`regroup.lua`: returns [brought back, 1 if unfinished]."""
        return Call([*self._lanes(), self.keys.groups], [GROUP, grace_ms, budget])

    def unread(self) -> Call:
        """`unread.lua`: returns 1 if some entry was given to no worker yet."""
        return Call(self._lanes(), [GROUP])

    def states(self, identities: Sequence[str]) -> Call:
        """`states.lua`: returns 0 (unknown), 1 (queued) or 2 (done) for each."""
        return Call([self.keys.queued, self.keys.done], [self.keep_days, *identities])

    def known(self, mails: Iterable[tuple[str, bytes]]) -> Call:
        """`known.lua`: returns 1 for each (identity, content key) that the ledger knows, else 0."""
        args: list[_Argument] = [self.keep_days]
        for identity, content in mails:
            args += (identity, content)
        return Call([self.keys.queued, self.keys.done], args)

    def replay(self, ids: Sequence[bytes]) -> Call:
        """`replay.lua`: returns how many dead letters were put into `again`."""
        return Call([self.keys.again, self.keys.dead, self.keys.bytes], list(ids))

    def discard(self, ids: Sequence[bytes]) -> Call:
        """`discard.lua`: returns how many dead letters were removed."""
        return Call([self.keys.queued, self.keys.dead, self.keys.done], [*self._kept, *ids])

    def letters(self, page: Page, keep: int, *, backwards: bool = False) -> Call:
        """`letters.lua`: returns [id, bytes of payload, fields, foreign fields] for each dead letter."""
        args: list[_Argument] = [page.first, page.last, "1" if backwards else "0", page.most, page.size]
        return Call([self.keys.dead], [*args, keep])

    def schedule(self, due_ms: str, skip: int, count: int, size: int) -> Call:
        """`schedule.lua`: returns [now in ms, then a list of values for each mail that waits]."""
        return Call([self.keys.delayed, self.keys.delayed_body], [due_ms, skip, count, size])

    def entries(self, stream: str, page: Page) -> Call:
        """`entries.lua`: returns [id, identity] for each entry of a lane or of the dead letters."""
        return Call([stream], [*page])

    def forget(self, memory: Sequence[bytes], until_ms: int) -> Call:
        """`forget.lua`: returns how many keys of the memory were removed."""
        return Call([self.keys.forgotten, *memory], [until_ms])

    def doubt(self, lane: Lane, first: str, last: bytes, size: int) -> Call:
        """`doubt.lua`: returns [number marked, the id to go on behind]."""
        return Call([self.keys.lanes[lane]], [first, last, size])

    def large(self, key: str, *, is_hash: bool, first: str, size: int) -> Call:
        """`large.lua`: returns [where to go on, identities of mails whose bytes are in a blob]."""
        return Call([key], ["hash" if is_hash else "stream", first, size])

    def reconcile(self, cursors: Sequence[str]) -> Call:
        """`reconcile.lua`: returns [forgotten, taken in, names of some of the forgotten]."""
        keys = self.keys
        names = [*self._lanes(), keys.queued, keys.delayed, keys.delayed_body, keys.dead, keys.bytes]
        return Call([*names, *cursors], [keys.cursors])

    def _lanes(self) -> list[str]:
        return [self.keys.lanes[lane] for lane in Lane]


def _pairs(entries: Iterable[tuple[Lane, bytes]]) -> list[_Argument]:
    return [word for lane, entry_id in entries for word in (lane + 1, entry_id)]


def _delayed(failed: Delayed) -> tuple[_Argument, ...]:
    entry, counts = failed.entry, "1" if failed.counts else "0"
    error = failed.error.encode("utf-8", "replace")[:DELAYED_ERROR_MAX_BYTES]
    return entry.lane + 1, entry.id, failed.identity, int(failed.after_s * 1000), counts, error


def _dead(dead: Dead) -> tuple[_Argument, ...]:
    message = dead.message.encode("utf-8", "replace")[:MESSAGE_MAX_BYTES]
    traceback = dead.traceback.encode("utf-8", "replace")[-TRACEBACK_MAX_BYTES:]
    entry = dead.entry
    return entry.lane + 1, entry.id, dead.identity, dead.reason, dead.error_type, message, traceback
