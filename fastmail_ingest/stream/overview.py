"""How everything stands: the stream, and each account with its mailboxes."""

import time
from collections.abc import Iterable, Sequence

from fastmail_ingest.config import Account
from fastmail_ingest.model.account_state import AccountBooks, AccountState
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.standing import AccountStanding, LaneStanding, MailboxStanding, StreamStanding
from fastmail_ingest.policy import budget
from fastmail_ingest.stream.accounts import Accounts
from fastmail_ingest.stream.counting import memory_of, take_census
from fastmail_ingest.stream.letter import by_time
from fastmail_ingest.stream.reach import CALL_BYTES, Tool
from fastmail_ingest.stream.scripts import Page


class Overview(Tool):
    """What `fastmail-ingest status` shows.

    >>> with Overview.of("supervisor.toml") as overview:
    ...     overview.stream().dead
    """

    scripts = ("entries",)

    def stream(self) -> StreamStanding:
        """What is where in the stream, and since when."""
        with self._reached():
            census = take_census(self._redis, self._keys)
            pipe = self._redis.pipeline(transaction=False)
            pipe.get(self._keys.bytes)
            for lane in Lane:
                pipe.xlen(self._keys.lanes[lane])
            stored, *lengths = pipe.execute()
            memory = memory_of(self._redis)
        now_ms = self.now_ms()
        lanes = [LaneStanding(lane.label, mails, self._oldest_s(lane, now_ms) if mails else None)
                 for lane, mails in zip(Lane, lengths, strict=True)]  # fmt: skip
        return StreamStanding(census.lanes, census.delayed, census.dead, int(stored or 0), lanes, memory)

    def _oldest_s(self, lane: Lane, now_ms: int) -> float | None:
        """How long the first entry of a lane has been in it, without fetching its mail."""
        stream = self._keys.lanes[lane]
        found = self._run("entries", self._arguments.entries(stream, Page("-", "+", 1, CALL_BYTES)))
        return max(0.0, (now_ms - by_time(found[0][0].decode())[0]) / 1000) if found else None

    def accounts(self, accounts: Iterable[Account]) -> list[AccountStanding]:
        """How these accounts and their mailboxes stand."""
        return [self._account(account) for account in accounts]

    def _account(self, account: Account) -> AccountStanding:
        now = time.time()
        with self._reached():
            books = Accounts(self._redis, self._keys).books(account.name)
        state = _state(account, books, now)
        return AccountStanding(
            account=account.name,
            standing=state.standing,
            until=state.until,
            failures=state.failures,
            reason=state.reason,
            since=state.since,
            oauth=account.login_method != "password",
            bytes_in_24_h=budget.spent(books.bytes_by_hour, now),
            bytes_allowed=account.effective_daily_bytes,
            commands_today=books.commands_today,
            mailboxes=self._mailboxes(account.name, account.mailboxes, books),
        )

    def _mailboxes(self, account: str, names: Sequence[str], books: AccountBooks) -> list[MailboxStanding]:
        keys = [MailboxKey(account, name) for name in names]
        with self._reached():
            accounts = Accounts(self._redis, self._keys)
            fresh, refused = accounts.fresh(keys), accounts.refusals(keys)
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hmget(self._keys.cursor(key), ["last_uid", "count"])
            cursors = pipe.execute()
        now = time.time()
        return [
            MailboxStanding(
                mailbox=key.mailbox,
                fresh_at=at,
                fresh_s_ago=round(now - at, 3) if at else None,
                refused=refusal,
                last_uid=int(last_uid or 0),
                appended=int(count or 0),
                quarantined=books.quarantined.get(key.mailbox, []),
            )
            for key, at, refusal, (last_uid, count) in zip(keys, fresh, refused, cursors, strict=True)
        ]


def _state(account: Account, books: AccountBooks, now: float) -> AccountState:
    """How an account stands; that `daily_bytes` is used up is written nowhere, it follows from the bytes."""
    limit = account.effective_daily_bytes
    wait_s = budget.wait_s(books.bytes_by_hour, limit, now)
    if books.state.standing != "ok" or not wait_s:
        return books.state
    return AccountState("resting", now + wait_s, reason=budget.in_words(books.bytes_by_hour, limit, now))
