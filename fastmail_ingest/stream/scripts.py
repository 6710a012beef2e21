"""The Lua scripts as typed calls: which keys, which arguments, in the order the script's head says."""

from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from fastmail_ingest.model.entry import Dead, Delayed, NewMail, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.keys import GROUP, Keys, month_ttl_s, months_kept

TRACEBACK_MAX_BYTES = 8 * 1024
MESSAGE_MAX_BYTES = 1024

_Argument = str | bytes | int


def source(name: str) -> str:
    """The text of a script."""
    return resources.files("fastmail_ingest.stream").joinpath("scripts", f"{name}.lua").read_text("utf-8")


class Call(NamedTuple):
    """The keys and arguments of one script call."""

    keys: list[str]
    args: list[_Argument]


class Blamed(NamedTuple):
    """An entry that was in hand when its worker died."""

    lane: Lane
    entry_id: bytes


class Arguments:
    """Builds the calls for one keyspace and one retention."""

    def __init__(self, keys: Keys, keep_days: int) -> None:
        self.keys = keys
        self.keep_days = keep_days

    def append(
        self,
        key: MailboxKey,
        lane: Lane,
        mails: Sequence[NewMail],
        cursor: Cursor,
        *,
        now: float,
        by_content: bool,
    ) -> Call:
        """`append.lua`: returns [appended, mails that wait]."""
        keys = [self.keys.lanes[lane], self.keys.queued, self.keys.cursor(key), self.keys.dead]
        for month in months_kept(now, self.keep_days):
            keys += (self.keys.done(month), self.keys.seen(month))
        args: list[_Argument] = [cursor.uid_validity, cursor.last_uid, cursor.match_until, _ms(now)]
        args += (month_ttl_s(self.keep_days), "1" if by_content else "0")
        for mail in mails:
            args += mail
        return Call(keys, args)

    def settle(self, settlement: Settlement, now: float) -> Call:
        """`settle.lua`: returns the number of entries that were no longer ours."""
        month = months_kept(now, 0)[0]
        keys = [*self._lanes(), self.keys.queued, self.keys.done(month)]
        keys += (self.keys.delayed, self.keys.delayed_body, self.keys.dead)
        args: list[_Argument] = [GROUP, month_ttl_s(self.keep_days), _ms(now)]
        for lane in Lane:
            columns = settlement.done.get(lane)
            args.append(len(columns.ids) if columns else 0)
            if columns:
                args += columns.ids
                args += columns.identities
        args.append(len(settlement.delayed))
        for failed in settlement.delayed:
            args += _delayed(failed)
        args.append(len(settlement.dead))
        for dead in settlement.dead:
            args += _dead(dead)
        return Call(keys, args)

    def put_back(
        self,
        consumer: str,
        now: float,
        budget: int,
        deaths_max: int,
        *,
        blamed: Sequence[tuple[Lane, bytes]] | None,
        lease_of: str = "",
    ) -> Call:
        """`put_back.lua`: returns [moved, made dead letters, more]; [-1, 0, 0] if `lease_of` still lives.

        `blamed` None says that no handler has seen any of the entries (an orderly stop).
        """
        keys = [*self._lanes(), self.keys.dead]
        if lease_of:
            keys.append(self.keys.node(lease_of))
        may_have_run = "0" if blamed is None else "1"
        args: list[_Argument] = [GROUP, consumer, budget, _ms(now), may_have_run, deaths_max]
        for lane, entry_id in blamed or ():
            args += (lane + 1, entry_id)
        return Call(keys, args)

    def promote(self, now: float, budget: int) -> Call:
        """`promote.lua`: returns how many were moved."""
        return Call([self.keys.again, self.keys.delayed, self.keys.delayed_body], [_ms(now), budget])

    def _lanes(self) -> list[str]:
        return [self.keys.lanes[lane] for lane in Lane]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _delayed(failed: Delayed) -> tuple[_Argument, ...]:
    return failed.entry.lane + 1, failed.entry.id, failed.identity, _ms(failed.due_at)


def _dead(dead: Dead) -> tuple[_Argument, ...]:
    message = dead.message.encode("utf-8", "replace")[:MESSAGE_MAX_BYTES]
    traceback = dead.traceback.encode("utf-8", "replace")[-TRACEBACK_MAX_BYTES:]
    entry = dead.entry
    return entry.lane + 1, entry.id, dead.identity, dead.reason, dead.error_type, message, traceback
