"""The producer's loop for one or more mailboxes of an account: sweep, wait, sweep again.

IDLE only wakes; what is new is decided by a look at the UIDs.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import (
    FastmailIngestError,
    LoginRefused,
    MailboxRefused,
    ProtocolError,
    SourceUnavailable,
)
from fastmail_ingest.model.mailbox import Cursor, MailboxKey, MailboxState
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.pipeline.transfer import CursorMoved, Tally, Transfer
from fastmail_ingest.policy import polling, uidplan
from fastmail_ingest.policy.backoff import LOGIN_REFUSED, RECONNECT, delay_s

_log = logging.getLogger(__name__)

ONCE_TRIES = 3  # with --once: connections to try before an account is given up
# An account that fails so often in a row is asked by one connection at a time, the others wait.
BREAKER_FAILURES = 5
BREAKER_RECOVERY_S = 5.0
_GRACE_S = 60.0  # beyond what a step may take, before a thread counts as stuck


class WatchPlan(msgspec.Struct, frozen=True):
    """How mailboxes are watched."""

    pace: polling.PollPace
    window: int  # UIDs a FETCH command
    idle: bool
    once: bool
    timeout_s: float  # of one answer of the mail server


class Reach(msgspec.Struct, frozen=True):
    """The way to an account: how to connect, and the breaker that all its connections share."""

    connect: Callable[[], MailSource]
    breaker: CircuitBreaker


def account_breaker(account: str) -> CircuitBreaker:
    """The circuit breaker around one account."""
    return CircuitBreaker(
        f"account {account}", failures=BREAKER_FAILURES, recovery_s=BREAKER_RECOVERY_S, successes=1
    )


class Watcher:
    """Keeps some mailboxes of one account flowing into the stream, over one connection."""

    def __init__(
        self,
        mailboxes: Sequence[MailboxKey],
        reach: Reach,
        transfer: Transfer,
        plan: WatchPlan,
        stopper: Stopper,
        tally: Tally,
    ) -> None:
        self._mailboxes = list(mailboxes)
        self._reach = reach
        self._transfer = transfer
        self._plan = plan
        self._stopper = stopper
        self._tally = tally
        self._interval_s = plan.pace.min_s
        self._failures = 0
        self._quiet_until = 0.0
        self._expect_within(plan.timeout_s)
        transfer.alive = lambda: self._expect_within(plan.timeout_s)

    def run(self) -> None:
        """Work until told to stop; with `once`, until the mailboxes are empty or the account is given up."""
        while not self._stopper.stopped:
            try:
                self._follow()
                return
            except Stopped:
                return
            except (SourceUnavailable, ProtocolError, LoginRefused) as error:
                self._failures += 1
                if self._plan.once and (self._failures >= ONCE_TRIES or isinstance(error, LoginRefused)):
                    _log.error("%s", error)
                    self._tally.failed(str(error))
                    return
                self._back_off(error)

    def _follow(self) -> None:
        """Sweep all mailboxes again and again, as long as the connection holds."""
        while not self._reach.breaker.allows():
            self._wait(self._reach.breaker.retry_in_s())
            self._stopper.check()
        self._expect_within(self._plan.timeout_s)
        source = self._reach.connect()
        source.show_life(self._transfer.alive)
        try:
            while not self._stopper.stopped:
                found = 0
                for key in self._mailboxes:
                    found += self._visit(source, key)
                self._reach.breaker.success()
                if self._plan.once:
                    return
                self._slow_down(found)
                self._wait(self._interval_s)
        finally:
            source.close()

    # --- signs of life -----------------------------------------------------------------------------

    def overdue_s(self, now: float) -> float:
        """For how long there has been no sign of life when there should have been one; 0 if all is well."""
        return max(0.0, now - self._quiet_until)

    def _expect_within(self, seconds: float) -> None:
        """The next step will not take longer than this; each answer of Redis or the mail server is a step."""
        self._quiet_until = time.monotonic() + seconds + _GRACE_S

    def _wait(self, seconds: float) -> None:
        self._expect_within(seconds)
        self._stopper.wait(seconds)
        self._expect_within(self._plan.timeout_s)

    def _visit(self, source: MailSource, key: MailboxKey) -> int:
        """Take over what is in a mailbox, and stay in it if it is the only one of this connection."""
        try:
            cursor, found = self._sweep(source, key)
            if len(self._mailboxes) == 1 and not self._plan.once:
                self._stay(source, key, cursor)
        except CursorMoved as error:
            # The connection is good: the next look begins where the cursor is now.
            _log.info("%s", error)
            return 1
        except MailboxRefused as error:
            # The connection is good, and so are the other mailboxes.
            _log.error("%s", error)
            self._tally.failed(str(error))
            return 0
        return found

    def _sweep(self, source: MailSource, key: MailboxKey) -> tuple[Cursor, int]:
        """Take over all that is in the mailbox now; returns the cursor and how many mails were fetched."""
        self._expect_within(self._plan.timeout_s)
        state = source.examine(key.mailbox)
        cursor = self._start(key, state)
        found = 0
        while window := uidplan.next_window(cursor.last_uid, state.uid_next, self._plan.window):
            self._stopper.check()
            cursor, count = self._run_window(source, key, window, cursor)
            found += count
            if not count:
                cursor = self._skip_gap(source, cursor, state)
        return cursor, found

    def _run_window(
        self, source: MailSource, key: MailboxKey, window: uidplan.Window, cursor: Cursor
    ) -> tuple[Cursor, int]:
        cursor, count = self._transfer.run(source, key, window, cursor)
        self._failures = 0
        return cursor, count

    def _skip_gap(self, source: MailSource, cursor: Cursor, state: MailboxState) -> Cursor:
        """After a window without mail: go to the next mail there is, since gaps can be huge."""
        if cursor.last_uid + 1 >= state.uid_next:
            return cursor
        ahead = source.uids_above(cursor.last_uid)
        last_uid = min(ahead[0], state.uid_next) - 1 if ahead else state.uid_next - 1
        return msgspec.structs.replace(cursor, last_uid=last_uid)

    def _start(self, key: MailboxKey, state: MailboxState) -> Cursor:
        cursor = self._transfer.cursor(key)
        begin = uidplan.start(cursor, state)
        if begin.match_until and begin != cursor:
            _log.warning(
                "%s: UIDVALIDITY changed from %d to %d; reading the mailbox anew, known mails are recognised "
                "by their content",
                key, cursor.uid_validity, state.uid_validity,
            )  # fmt: skip
        return begin

    def _stay(self, source: MailSource, key: MailboxKey, cursor: Cursor) -> None:
        """With the mailbox open: wait for news by IDLE or by the clock, and fetch what is new."""
        while not self._stopper.stopped:
            self._reach.breaker.success()
            if self._plan.idle and source.can_idle:
                wait_s = polling.idle_wait(self._plan.pace, random.random())  # noqa: S311
                self._expect_within(wait_s + self._plan.timeout_s)
                source.wait(wait_s, self._stopper.fd)
            else:
                self._wait(self._interval_s)
            self._stopper.check()
            self._transfer.check(key)
            cursor, found = self._fetch_new(source, key, cursor)
            self._slow_down(found)

    def _fetch_new(self, source: MailSource, key: MailboxKey, cursor: Cursor) -> tuple[Cursor, int]:
        """Fetch what has come since the cursor, and what comes meanwhile."""
        found = 0
        while True:
            # Some servers show new mail to a search only after they have had a chance to announce it.
            source.look()
            uids = source.uids_above(cursor.last_uid)
            for start in range(0, len(uids), self._plan.window):
                part = uids[start : start + self._plan.window]
                window = uidplan.Window(part[0], part[-1])
                cursor, count = self._run_window(source, key, window, cursor)
                found += count
                self._stopper.check()
            if not source.news:
                return cursor, found

    def _slow_down(self, found: int) -> None:
        self._interval_s = polling.next_interval(self._plan.pace, self._interval_s, found > 0)

    def _back_off(self, error: FastmailIngestError) -> None:
        self._reach.breaker.failure(error)
        patience = LOGIN_REFUSED if isinstance(error, LoginRefused) else RECONNECT
        wait_s = delay_s(patience, self._failures, random.random())  # noqa: S311
        log = _log.error if isinstance(error, LoginRefused) else _log.warning
        log("%s; next try in %.1f s", error, wait_s)
        self._wait(wait_s)
