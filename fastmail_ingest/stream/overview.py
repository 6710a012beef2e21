"""How everything stands: the stream, and each account with its mailboxes."""

from collections.abc import Sequence

from msgspec import Struct

from fastmail_ingest.model.account_state import AccountBooks, Refusal
from fastmail_ingest.model.census import Census
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.stream.accounts import Accounts
from fastmail_ingest.stream.counting import take_census
from fastmail_ingest.stream.reach import Tool


class MailboxStanding(Struct, frozen=True):
    """Where we are in a mailbox: `fresh_at` is when it was last proved to be read to its end (epoch s, 0.0
    for never), `appended` how many mails came out of it, `quarantined` how many its server does not give
    out, `refused` why it opens none of them.
    """

    key: MailboxKey
    fresh_at: float
    last_uid: int
    appended: int
    quarantined: int
    refused: Refusal | None = None


class Overview(Tool):
    """What `fastmail-ingest status` shows.

    >>> with Overview.of("supervisor.toml") as overview:
    ...     overview.census().dead
    """

    def census(self) -> Census:
        """What is where in the stream."""
        with self._reached():
            return take_census(self._redis, self._keys)

    def account(self, name: str) -> AccountBooks:
        """The standing of an account, what it has fetched, what is in quarantine."""
        with self._reached():
            return Accounts(self._redis, self._keys).books(name)

    def mailboxes(self, account: str, names: Sequence[str], books: AccountBooks) -> list[MailboxStanding]:
        """Where we are in these mailboxes of an account."""
        keys = [MailboxKey(account, name) for name in names]
        with self._reached():
            accounts = Accounts(self._redis, self._keys)
            fresh, refused = accounts.fresh(keys), accounts.refusals(keys)
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hmget(self._keys.cursor(key), ["last_uid", "count"])
            cursors = pipe.execute()
        return [
            MailboxStanding(
                key,
                at,
                int(last_uid or 0),
                int(count or 0),
                len(books.quarantined.get(key.mailbox, [])),
                refusal,
            )
            for key, at, refusal, (last_uid, count) in zip(keys, fresh, refused, cursors, strict=True)
        ]
