"""The bytes of an account in 24 hours: booked for all processes, and how long to wait when ours are used up.

That is a limit of ours, with which the account is well: it is never written into the account's standing, and
another `daily_bytes` counts at once.
"""

import logging
import threading
import time

from fastmail_ingest.errors import BudgetSpent
from fastmail_ingest.pipeline import shared_books
from fastmail_ingest.pipeline.shared_books import SharedBooks
from fastmail_ingest.policy import budget

_log = logging.getLogger(__name__)


class Spending:
    """What one account has cost; `limit` is in bytes, 0 for any number of them."""

    def __init__(self, books: SharedBooks, limit: int) -> None:
        self._books = books
        self._limit = limit
        self._lock = threading.Lock()
        self._by_hour: dict[int, int] | None = None  # None: not known yet
        self._looked_at = 0.0
        self._unbooked = [0, 0]  # bytes and commands that Redis has not been told
        self.reason = ""  # why we wait; empty if we do not

    def spend(self, size: int, commands: int) -> None:
        """Book what was fetched; it counts even if Redis cannot be told now."""
        with self._lock:
            unbooked = self._unbooked = [self._unbooked[0] + size, self._unbooked[1] + commands]
            by_hour = self._books.ask(lambda books: books.spend(self._books.account, *unbooked))
            if by_hour is not None:
                self._by_hour, self._unbooked = by_hour, [0, 0]

    def check(self) -> None:
        """Raise BudgetSpent if the bytes of a day are used up."""
        if wait_s := self.wait_s():
            raise BudgetSpent(f"account {self._books.account}: {self.reason}", wait_s)

    def wait_s(self) -> float:
        """Seconds until there are bytes again; 0.0 if there are some now, or if nobody can tell."""
        if not self._limit:
            return 0.0
        with self._lock:
            if self._by_hour is None:
                self._look()
            wait_s = self._left_s()
            # Others spend, too, and hours go by: what is used up is looked at again.
            if wait_s and time.monotonic() - self._looked_at >= shared_books.LOOK_S:
                self._look()
                wait_s = self._left_s()
            self._tell(wait_s)
            return wait_s

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        found = self._books.ask(lambda books: books.spent(self._books.account))
        if found is not None:
            self._by_hour = found

    def _left_s(self) -> float:
        return budget.wait_s(self._by_hour or {}, self._limit, time.time())

    def _tell(self, wait_s: float) -> None:
        was = self.reason
        self.reason = budget.in_words(self._by_hour or {}, self._limit, time.time()) if wait_s else ""
        if self.reason and not was:
            _log.warning("account %s: %s; it rests for %.0f s", self._books.account, self.reason, wait_s)
