"""What all processes know of the accounts: standing, bytes spent, freshness, mails in quarantine."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastmail_ingest.model.account_state import (
    AccountBooks,
    AccountState,
    Quarantined,
    Refusal,
    decode_quarantine,
    decode_refusal,
    decode_state,
    encode,
)
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.policy import budget
from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.stream.keys import Keys

_DAY_S = 86_400
_COMMANDS = "commands:"
# Longer than anybody looks back: a whole day, the hour before and the hour under way.
_SPENT_TTL_S = 2 * _DAY_S


class Accounts:
    """The books about accounts and their mailboxes. May be shared by threads.

    All methods raise one of `unavailable` when Redis is away; each may be called again then.
    """

    unavailable = UNAVAILABLE

    def __init__(self, client: Any, keys: Keys) -> None:
        self._redis = client  # a redis.Redis; its types cannot tell that answers are bytes here
        self._keys = keys

    def state(self, account: str) -> AccountState:
        """Whether the account may be asked now."""
        found: bytes | None = self._redis.hget(self._keys.accounts, account)
        return decode_state(found)

    def put_state(self, account: str, state: AccountState) -> None:
        """Tell everybody how the account stands."""
        self._redis.hset(self._keys.accounts, account, encode(state))

    def spend(self, account: str, size: int, commands: int) -> dict[int, int]:
        """Book `size` bytes and some commands under the hour and day it is; returns the bytes an hour."""
        now = time.time()
        key, hour = self._keys.spent(account), budget.hour_of(now)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hincrby(key, str(hour), size)
        pipe.hincrby(key, f"{_COMMANDS}{int(now) // _DAY_S}", commands)
        pipe.hgetall(key)
        pipe.expire(key, _SPENT_TTL_S)
        by_hour = _by_hour(pipe.execute()[2])
        if old := [str(each) for each in by_hour if each < hour - budget.HOURS - 1]:
            self._redis.hdel(key, *old)
        return by_hour

    def spent(self, account: str) -> dict[int, int]:
        """The bytes of each hour in which something was fetched."""
        return _by_hour(self._redis.hgetall(self._keys.spent(account)))

    def prove_fresh(self, key: MailboxKey, at_s: float) -> None:
        """Say that at this time (epoch s) a mailbox was read to its end, so its server opens it."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset(self._keys.fresh, str(key), str(int(at_s * 1000)))
        pipe.hdel(self._keys.refused, str(key))
        pipe.execute()

    def fresh(self, keys: Sequence[MailboxKey]) -> list[float]:
        """When each mailbox was last proved to be read to its end, epoch s; 0.0 for never."""
        found: list[bytes | None] = (
            self._redis.hmget(self._keys.fresh, [str(key) for key in keys]) if keys else []
        )
        return [int(value or 0) / 1000 for value in found]

    def put_refusal(self, key: MailboxKey, refusal: Refusal) -> None:
        """Say that the server did not open a mailbox."""
        self._redis.hset(self._keys.refused, str(key), encode(refusal))

    def refusals(self, keys: Sequence[MailboxKey]) -> list[Refusal | None]:
        """Why the server does not open each mailbox; None for those that it opens, as far as is known."""
        found: list[bytes | None] = (
            self._redis.hmget(self._keys.refused, [str(key) for key in keys]) if keys else []
        )
        return [decode_refusal(text) for text in found]

    def quarantine(self, key: MailboxKey) -> list[Quarantined]:
        """The mails of a mailbox that its server does not give out."""
        found: bytes | None = self._redis.hget(self._keys.quarantine(key.account), key.mailbox)
        return decode_quarantine(found)

    def put_quarantine(self, key: MailboxKey, mails: Iterable[Quarantined]) -> None:
        """Write down which mails of a mailbox its server does not give out."""
        kept = list(mails)
        if kept:
            self._redis.hset(self._keys.quarantine(key.account), key.mailbox, encode(kept))
        else:
            self._redis.hdel(self._keys.quarantine(key.account), key.mailbox)

    def books(self, account: str) -> AccountBooks:
        """All that is written down about an account."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hget(self._keys.accounts, account)
        pipe.hgetall(self._keys.spent(account))
        pipe.hgetall(self._keys.quarantine(account))
        state, spent, quarantined = pipe.execute()
        today = spent.get(f"{_COMMANDS}{int(time.time()) // _DAY_S}".encode(), 0)
        mails = {
            name.decode("utf-8", "replace"): decode_quarantine(text) for name, text in quarantined.items()
        }
        return AccountBooks(decode_state(state), _by_hour(spent), int(today), mails)


def _by_hour(found: Mapping[bytes, bytes]) -> dict[int, int]:
    return {int(hour): int(size) for hour, size in found.items() if hour.isdigit()}
