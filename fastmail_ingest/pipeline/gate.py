"""The gate before an account: whether it may be asked now, and by how many connections at once.

One for all threads of a process that work for the account; its standing is shared with all other processes
through Redis, so that no restart and no second host knocks where the first was sent away.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

import msgspec

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import (
    FastmailIngestError,
    GrantRevoked,
    LimitReached,
    LoginRefused,
    ServerBusy,
    SourceUnavailable,
    TokenRefused,
    TooManyConnections,
)
from fastmail_ingest.model.account_state import AccountState, Standing
from fastmail_ingest.pipeline import shared_books
from fastmail_ingest.pipeline.shared_books import LOOK_S, Books, SharedBooks
from fastmail_ingest.pipeline.spending import Spending
from fastmail_ingest.policy import backoff
from fastmail_ingest.policy.breaker import State

_log = logging.getLogger(__name__)

# An account that fails so often in a row is asked by one connection at a time, the others wait.
BREAKER_FAILURES = 5
BREAKER_RECOVERY_S = 5.0
# Between two connects to one host: a hundred at once look like an attack.
RAMP_S = 0.1
_LOGIN_LOOK_S = 0.1  # between two looks whether somebody's login is done
# Whoever has made room for others stays away for so long: they look for it once in LOOK_S.
TURN_S = 2 * LOOK_S
NAP_S = 5.0  # of a longer wait for the account, so that it is seen when others open it
_PROBE_S = 60.0  # so long one process may probe before the next may
_BUSY_MAX = 8
_SLOTS_BACK_S = 3600.0
_REASON_MAX = 500  # characters
_REFUSED_MAX = 8  # credentials that are remembered: hosts may differ in them


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
        self._books = SharedBooks(account, books)
        self.spending = Spending(self._books, terms.daily_bytes)
        self._terms = terms
        self._ramp = ramp
        self._breaker = CircuitBreaker(
            f"account {account}", failures=BREAKER_FAILURES, recovery_s=BREAKER_RECOVERY_S, successes=1
        )
        self._lock = threading.RLock()
        self._state = AccountState()
        self._looked_at = -LOOK_S  # monotonic, as all times here but those in `_state`
        self._untold = False  # Redis does not know `_state` yet
        self._inside = 0
        self._probing = False
        # One login at a time: a wrong password is refused once, not once for each mailbox.
        self._logging_in = False
        self._wrong_at = 0.0  # when we last heard that the account takes no new connection
        self._slots = terms.slots
        self._shrunk_at = 0.0
        self._wanted_at = 0.0
        self._token_refused = False
        self._busy = 0  # how often the server said so in a row

    @property
    def breaker(self) -> CircuitBreaker:
        """The breaker around the account's server."""
        return self._breaker

    @property
    def is_open(self) -> bool:
        """Whether mail may flow: all is well with the account, and there are bytes left."""
        return not self.shut and self._breaker.state is State.CLOSED and not self.spending.reason

    @property
    def shut(self) -> bool:
        """Whether the account is to be left alone: then `try_enter` says until when, others may open it."""
        return self._state.standing != "ok"

    @property
    def reason(self) -> str:
        """Why it is shut, in words."""
        return self._state.reason if self.shut else self.spending.reason

    # --- going in and out --------------------------------------------------------------------------

    def try_enter(self) -> float:
        """0.0 if a connection may be made now, which has to `leave` again; else seconds to wait."""
        now = time.monotonic()
        with self._lock:
            if self._shrunk_at and now - self._shrunk_at > _SLOTS_BACK_S:
                self._slots, self._shrunk_at = self._terms.slots, 0.0
            wait_s = self._standing_wait_s() or self.spending.wait_s()
            if not wait_s and self._inside >= self._slots:
                self._wanted_at, wait_s = now, LOOK_S
            if not wait_s and self._logging_in:
                wait_s = _LOGIN_LOOK_S
            wait_s = wait_s or self._ramp.wait_s(now)
            if not wait_s and not self._breaker.allows():
                wait_s = max(0.05, self._breaker.retry_in_s())
            if not wait_s:
                self._inside += 1
                self._logging_in = True
                self._begin_probe()
            return wait_s

    def logged_in(self) -> None:
        """Whoever was let in last has come so far: the next may. One who does not has `failed`."""
        with self._lock:
            self._logging_in = False

    def leave(self) -> None:
        """A connection is closed."""
        with self._lock:
            self._inside -= 1
            # It may have been the one that probed, and have found nothing out. `until` keeps the others away.
            self._probing = False

    def crowded(self) -> bool:
        """Whether somebody waits for a connection to be closed."""
        with self._lock:
            return self._inside >= self._slots and time.monotonic() - self._wanted_at < 3 * LOOK_S

    def _standing_wait_s(self) -> float:
        """How long the account is to be left alone; a probe that is under way keeps the others out, too."""
        self._look()
        if not self.shut:
            return 0.0
        if self._probing:
            return LOOK_S
        if self._state.standing == "suspended" and self._has_others():
            _log.info("account %s: its credentials have changed, trying again", self.account)
            self._token_refused = False
            # Those that were refused stay known: hosts that differ in theirs must not open it in turns.
            self._write(AccountState(credentials=self._state.credentials))
            return 0.0
        return backoff.left_s(self._state.until, time.time())

    def _has_others(self) -> bool:
        """Whether we log in with something else than what was refused."""
        ours = self._terms.credentials()
        return bool(ours) and ours not in self._state.credentials.split()

    def _begin_probe(self) -> None:
        if self.shut:
            self._probing = True
            # The other processes see that somebody is asking.
            self._write(msgspec.structs.replace(self._state, until=time.time() + _PROBE_S))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < shared_books.LOOK_S:
            return
        self._looked_at = now
        if self._untold:
            self._write(self._state)
            return
        found = self._books.ask(lambda books: books.state(self.account))
        if found is None or self._probing:
            return  # what we know ourselves must do
        if found.standing != "ok" and self._state.standing == "ok":
            self._wrong_at = now
        self._state = found

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
            self._busy = 0
            if self.shut or self._state.credentials:
                _log.info("account %s serves us again", self.account)
                self._put("ok")

    def failed(self, error: FastmailIngestError, failures: int) -> float:
        """Take note of a failure; returns seconds to wait. `failures` counts those of the caller in a row."""
        with self._lock:
            wait_s = self._judge(error, failures)
            self._probing = self._logging_in = False
            return wait_s

    def _judge(self, error: FastmailIngestError, failures: int) -> float:
        if isinstance(error, LoginRefused | LimitReached):
            self._wrong_at = time.monotonic()
            self._breaker.success()  # it is there, and answers
            return self._refused(error)
        self._breaker.failure(error)
        self._busy += isinstance(error, ServerBusy)
        if self._busy > _BUSY_MAX:
            # Each connection waits by itself, and together they would ask hundreds of times an hour.
            self._wrong_at = time.monotonic()
            return self._shut("resting", error, backoff.SERVER_BUSY)
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
        left_s = backoff.left_s(self._state.until, time.time())
        if self._state.standing == standing and left_s and not self._probing:
            return left_s  # another connection has heard the same just now
        failures = self._state.failures + 1 if self._state.standing == standing else 1
        asked_s = error.retry_after_s if isinstance(error, SourceUnavailable) else 0.0
        wait_s = asked_s * random.uniform(1.0, 1.1) if asked_s else _spread(patience, failures)  # noqa: S311
        log = _log.error if standing == "suspended" else _log.warning
        log("%s; the account is %s, next try in %.0f s", error, standing, wait_s)
        self._put(standing, time.time() + wait_s, failures, str(error))
        return wait_s

    def _put(self, standing: Standing, until: float = 0.0, failures: int = 0, reason: str = "") -> None:
        refused = [] if standing == "ok" else self._state.credentials.split()
        if standing == "suspended" and self._has_others():
            refused = [*refused, self._terms.credentials()][-_REFUSED_MAX:]
        self._write(
            AccountState(standing, until, failures, reason[:_REASON_MAX], time.time(), " ".join(refused))
        )

    def _write(self, state: AccountState) -> None:
        self._state = state

        def told(books: Books) -> bool:
            books.put_state(self.account, state)
            return True

        self._untold = self._books.ask(told) is None


def _spread(patience: backoff.Backoff, failures: int) -> float:
    return backoff.delay_s(patience, failures, random.random())  # noqa: S311
