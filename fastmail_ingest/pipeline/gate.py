"""The gate before an account: whether it may be asked now, and by how many connections at once.

One for all threads of a process that work for the account; its standing is shared with all other processes
through Redis, so that no restart and no second host knocks where the first was sent away.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import (
    FastmailIngestError,
    GrantRevoked,
    LimitReached,
    LoginRefused,
    SourceUnavailable,
    TokenRefused,
    TooManyConnections,
)
from fastmail_ingest.model.account_state import AccountState, Standing
from fastmail_ingest.policy import backoff, budget
from fastmail_ingest.policy.breaker import State

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# An account that fails so often in a row is asked by one connection at a time, the others wait.
BREAKER_FAILURES = 5
BREAKER_RECOVERY_S = 5.0
# Between two connects to one host: a hundred at once look like an attack.
RAMP_S = 0.1
_LOOK_S = 1.0  # how old the standing may be that others wrote
# Whoever has made room for others stays away for so long: they look for it once in _LOOK_S.
TURN_S = 2 * _LOOK_S
# A Redis that hangs is asked once in so long: all threads of the account wait for the one that asks.
AWAY_S = 2.0
_PROBE_S = 60.0  # so long one process may probe before the next may
_SLOTS_BACK_S = 3600.0
_REASON_MAX = 500  # characters


class Books(Protocol):
    """What is written down about accounts for everybody."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    def state(self, account: str) -> AccountState: ...  # noqa: D102
    def put_state(self, account: str, state: AccountState) -> None: ...  # noqa: D102
    def spend(self, account: str, size: int, commands: int) -> dict[int, int]: ...  # noqa: D102
    def spent(self, account: str) -> dict[int, int]: ...  # noqa: D102


class Terms(msgspec.Struct, frozen=True):
    """What an account allows: connections at once, bytes a day (0: any); and a fingerprint of what we log in
    with, asked for when a login was refused.
    """

    slots: int
    daily_bytes: int
    credentials: Callable[[], str]


class Ramp:
    """Spreads connects to one host; shared by all its accounts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_at = 0.0

    def wait_s(self, now: float) -> float:
        """0.0 if a connect may be made now, which is then noted; `now` is time.monotonic()."""
        with self._lock:
            if now < self._next_at:
                return self._next_at - now
            self._next_at = now + RAMP_S
            return 0.0


class Gate:
    """Lets connections of one account in; hears how they fare."""

    def __init__(self, account: str, books: Books, terms: Terms, ramp: Ramp) -> None:
        self.account = account
        self._books = books
        self._terms = terms
        self._ramp = ramp
        self._breaker = CircuitBreaker(
            f"account {account}", failures=BREAKER_FAILURES, recovery_s=BREAKER_RECOVERY_S, successes=1
        )
        self._lock = threading.RLock()
        self._state = AccountState()
        self._looked_at = -_LOOK_S
        self._away_until = 0.0  # Redis; monotonic, as all times here but those in `_state`
        self._untold = False  # Redis does not know `_state` yet
        self._inside = 0
        self._probing = False
        self._wrong_at = 0.0  # when we last heard that the account takes no new connection
        self._slots = terms.slots
        self._shrunk_at = 0.0
        self._wanted_at = 0.0
        self._token_refused = False
        self._by_hour: dict[int, int] | None = None  # None: not known yet
        self._unbooked = [0, 0]  # bytes and commands that Redis has not been told

    @property
    def is_open(self) -> bool:
        """Whether all is well with the account."""
        return self._state.standing == "ok" and self._breaker.state is State.CLOSED

    @property
    def reason(self) -> str:
        """Why it is shut, in words."""
        return self._state.reason

    # --- going in and out --------------------------------------------------------------------------

    def try_enter(self) -> float:
        """0.0 if a connection may be made now, which has to `leave` again; else seconds to wait."""
        now = time.monotonic()
        with self._lock:
            if self._shrunk_at and now - self._shrunk_at > _SLOTS_BACK_S:
                self._slots, self._shrunk_at = self._terms.slots, 0.0
            wait_s = self._standing_wait_s()
            if not wait_s and self._inside >= self._slots:
                self._wanted_at, wait_s = now, _LOOK_S
            wait_s = wait_s or self._ramp.wait_s(now)
            if not wait_s and not self._breaker.allows():
                wait_s = max(0.05, self._breaker.retry_in_s())
            if not wait_s:
                self._inside += 1
                self._begin_probe()
            return wait_s

    def leave(self) -> None:
        """A connection is closed."""
        with self._lock:
            self._inside -= 1

    def crowded(self) -> bool:
        """Whether somebody waits for a connection to be closed."""
        with self._lock:
            return self._inside >= self._slots and time.monotonic() - self._wanted_at < 3 * _LOOK_S

    def _standing_wait_s(self) -> float:
        """How long the account is to be left alone; a probe that is under way keeps the others out, too."""
        self._look()
        if self._state.standing == "ok":
            return 0.0
        if self._state.credentials and self._state.credentials != self._terms.credentials():
            _log.info("account %s: its credentials have changed, trying again", self.account)
            self._put("ok")
            return 0.0
        return _LOOK_S if self._probing else max(0.0, self._state.until - time.time())

    def _begin_probe(self) -> None:
        if self._state.standing != "ok":
            self._probing = True
            # The other processes see that somebody is asking.
            self._write(msgspec.structs.replace(self._state, until=time.time() + _PROBE_S))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        if self._untold:
            self._write(self._state)
            return
        found = self._ask(lambda: self._books.state(self.account))
        if found is None or self._probing:
            return  # what we know ourselves must do
        if found.standing != "ok" and self._state.standing == "ok":
            self._wrong_at = now
        self._state = found

    def _ask(self, ask: Callable[[], _T]) -> _T | None:
        """What the books answer; None while Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return ask()
        except self._books.unavailable as error:
            self._away_until = time.monotonic() + AWAY_S
            _log.debug("account %s: what we know of it stays ours alone: %s", self.account, error)
            return None

    # --- how it went -------------------------------------------------------------------------------

    def good(self, entered_at: float) -> None:
        """The account has served a connection that was let in then: whatever was wrong before that is over.

        An older connection tells nothing: it may live on where no new one is taken.
        """
        self._breaker.success()
        with self._lock:
            if entered_at < self._wrong_at:
                return
            self._token_refused = self._probing = False
            if self._state.standing != "ok":
                _log.info("account %s serves us again", self.account)
                self._put("ok")

    def failed(self, error: FastmailIngestError, failures: int) -> float:
        """Take note of a failure; returns seconds to wait. `failures` counts those of the caller in a row."""
        with self._lock:
            wait_s = self._judge(error, failures)
            self._probing = False
            return wait_s

    def _judge(self, error: FastmailIngestError, failures: int) -> float:
        if isinstance(error, LoginRefused | LimitReached):
            self._wrong_at = time.monotonic()
            self._breaker.success()  # it is there, and answers
            return self._refused(error)
        self._breaker.failure(error)
        if isinstance(error, TooManyConnections):
            self._slots, self._shrunk_at = max(1, self._slots - 1), time.monotonic()
            _log.warning("%s; going on with %d connections", error, self._slots)
            return _spread(backoff.TOO_MANY_CONNECTIONS, failures)
        if isinstance(error, SourceUnavailable) and error.retry_after_s:
            self._wrong_at = time.monotonic()
            return self._shut("resting", error, backoff.RECONNECT)
        wait_s = _spread(backoff.RECONNECT, failures)
        _log.warning("%s; next try in %.1f s", error, wait_s)
        return wait_s

    def _refused(self, error: LoginRefused | LimitReached) -> float:
        if isinstance(error, LimitReached):
            return self._shut("resting", error, backoff.LIMIT_REACHED)
        if isinstance(error, TokenRefused) and not self._token_refused:
            self._token_refused = True
            _log.info("%s; trying with a fresh one", error)
            return 0.0
        patience = backoff.GRANT_REVOKED if isinstance(error, GrantRevoked) else backoff.LOGIN_REFUSED
        return self._shut("suspended", error, patience)

    def _shut(self, standing: Standing, error: FastmailIngestError, patience: backoff.Backoff) -> float:
        failures = self._state.failures + 1 if self._state.standing == standing else 1
        asked_s = error.retry_after_s if isinstance(error, SourceUnavailable) else 0.0
        wait_s = asked_s * random.uniform(1.0, 1.1) if asked_s else _spread(patience, failures)  # noqa: S311
        log = _log.error if standing == "suspended" else _log.warning
        log("%s; the account is %s, next try in %.0f s", error, standing, wait_s)
        self._put(standing, time.time() + wait_s, failures, str(error))
        return wait_s

    def _put(self, standing: Standing, until: float = 0.0, failures: int = 0, reason: str = "") -> None:
        credentials = self._terms.credentials() if standing == "suspended" else ""
        self._write(AccountState(standing, until, failures, reason[:_REASON_MAX], time.time(), credentials))

    def _write(self, state: AccountState) -> None:
        self._state = state
        self._untold = self._ask(lambda: self._told(state)) is None

    def _told(self, state: AccountState) -> bool:
        self._books.put_state(self.account, state)
        return True

    # --- the budget --------------------------------------------------------------------------------

    def spend(self, size: int, commands: int) -> None:
        """Book what was fetched; it counts even if Redis cannot be told now."""
        with self._lock:
            unbooked = self._unbooked = [self._unbooked[0] + size, self._unbooked[1] + commands]
            by_hour = self._ask(lambda: self._books.spend(self.account, *unbooked))
            if by_hour is not None:
                self._by_hour, self._unbooked = by_hour, [0, 0]

    def check_budget(self) -> None:
        """Raise LimitReached if the bytes of a day are used up, until there are some again."""
        limit = self._terms.daily_bytes
        if not limit:
            return
        with self._lock:
            if self._by_hour is None:
                self._by_hour = self._ask(lambda: self._books.spent(self.account))
            if self._by_hour is None:
                return  # asked again before the next window
            now = time.time()
            if wait_s := budget.wait_s(self._by_hour, limit, now):
                used = budget.spent(self._by_hour, now)
                self._by_hour = None  # others spend, too: look again after the rest
                raise LimitReached(
                    f"account {self.account}: {used / 1e6:.0f} MB were fetched in 24 hours, of "
                    f"{limit / 1e6:.0f} MB that daily_bytes allows",
                    wait_s,
                )


def _spread(patience: backoff.Backoff, failures: int) -> float:
    return backoff.delay_s(patience, failures, random.random())  # noqa: S311
