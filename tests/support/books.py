"""The books about accounts, in memory; `test_stream_accounts.py` holds them to those in Redis."""

import time
from collections.abc import Iterable, Sequence

from fastmail_ingest.model.account_state import AccountState, Quarantined, Refusal
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.policy import budget


class MemoryBooks:
    """As `stream.accounts.Accounts`, for one process and as long as it lives."""

    unavailable: tuple[type[BaseException], ...] = ()

    def __init__(self) -> None:
        self._states: dict[str, AccountState] = {}
        self._spent: dict[str, dict[int, int]] = {}
        self._fresh: dict[MailboxKey, float] = {}
        self._refused: dict[MailboxKey, Refusal] = {}
        self._quarantine: dict[MailboxKey, list[Quarantined]] = {}

    def state(self, account: str) -> AccountState:
        return self._states.get(account, AccountState())

    def put_state(self, account: str, state: AccountState) -> None:
        self._states[account] = state

    def spend(self, account: str, size: int, commands: int) -> dict[int, int]:
        by_hour = self._spent.setdefault(account, {})
        hour = budget.hour_of(time.time())
        by_hour[hour] = by_hour.get(hour, 0) + size
        return dict(by_hour)

    def spent(self, account: str) -> dict[int, int]:
        return dict(self._spent.get(account, {}))

    def forget_spent(self) -> None:
        """As when the hours have gone by."""
        self._spent.clear()

    def prove_fresh(self, key: MailboxKey, at_s: float) -> None:
        self._fresh[key] = int(at_s * 1000) / 1000
        self._refused.pop(key, None)

    def fresh(self, keys: Sequence[MailboxKey]) -> list[float]:
        return [self._fresh.get(key, 0.0) for key in keys]

    def put_refusal(self, key: MailboxKey, refusal: Refusal) -> None:
        self._refused[key] = refusal

    def refusals(self, keys: Sequence[MailboxKey]) -> list[Refusal | None]:
        return [self._refused.get(key) for key in keys]

    def quarantine(self, key: MailboxKey) -> list[Quarantined]:
        return list(self._quarantine.get(key, []))

    def put_quarantine(self, key: MailboxKey, mails: Iterable[Quarantined]) -> None:
        self._quarantine[key] = list(mails)
