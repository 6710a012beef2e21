"""What is written down about an account for all processes, asked so that a Redis may be away, or hang."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from fastmail_ingest.model.account_state import AccountState

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

LOOK_S = 1.0  # how old may be what others wrote
# A Redis that hangs is asked once in so long: all threads of the account wait for the one that asks.
AWAY_S = 2.0


class Books(Protocol):
    """What is written down about accounts for everybody."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    def state(self, account: str) -> AccountState: ...  # noqa: D102
    def put_state(self, account: str, state: AccountState) -> None: ...  # noqa: D102
    def spend(self, account: str, size: int, commands: int) -> dict[int, int]: ...  # noqa: D102
    def spent(self, account: str) -> dict[int, int]: ...  # noqa: D102


class SharedBooks:
    """The books of one account."""

    def __init__(self, account: str, books: Books) -> None:
        self.account = account
        self._books = books
        self._lock = threading.Lock()
        self._away_until = 0.0

    def ask(self, ask: Callable[[Books], _T]) -> _T | None:
        """What the books answer; None while Redis is away."""
        with self._lock:
            if time.monotonic() < self._away_until:
                return None
            try:
                return ask(self._books)
            except self._books.unavailable as error:
                self._away_until = time.monotonic() + AWAY_S
                _log.debug("account %s: what we know of it stays ours alone: %s", self.account, error)
                return None
