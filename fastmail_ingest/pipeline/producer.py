"""The producer's loop for one or more mailboxes of an account: enter, sweep, wait, sweep again.

IDLE only wakes; what is new is decided by a look at the UIDs.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from fastmail_ingest.errors import (
    BudgetSpent,
    FastmailIngestError,
    LimitReached,
    LoginRefused,
    MailboxRefused,
    ProtocolError,
    ServerBusy,
    SourceUnavailable,
)
from fastmail_ingest.model.account_state import Refusal
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.scope import NOTHING, Scope, enter, log_scope
from fastmail_ingest.pipeline.follower import Around, Follower, FollowPlan
from fastmail_ingest.pipeline.gate import NAP_S, TURN_S, Gate
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.silence import Silence
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.pipeline.transfer import CursorMoved, Tally, Transfer
from fastmail_ingest.policy import polling

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

ONCE_TRIES = 3  # with --once: connections to try before an account is given up
ONCE_WINDOW_TRIES = 10  # and if they break while mails are fetched: enough to find the mail at fault
ONCE_PATIENCE_S = 30.0  # with --once: a longer rest of the account is not waited for
# A mailbox that was deleted and made anew while it was open may go on in silence: open it again now and then.
REOPEN_S = 600.0
# Where connections are short they go round: each is given up after so long if somebody waits for it.
ROUND_S = 60.0
BOOKED_COMMANDS = 100
_ANSWERS = 8  # of the mail server, one after the other, while we log in or open a mailbox
_AFTER_REFUSAL_S = 0.5


class WatchPlan(msgspec.Struct, frozen=True):
    """How mailboxes are watched."""

    pace: polling.PollPace
    follow: FollowPlan
    idle: bool
    once: bool
    timeout_s: float  # of one answer of the mail server


class Reach(msgspec.Struct, frozen=True):
    """The way to an account: how to connect, and the gate that all its connections share."""

    connect: Callable[[], MailSource]
    gate: Gate


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
        self._gate = reach.gate
        self._transfer = transfer
        self._connect = reach.connect
        self._plan = plan
        self._stopper = stopper
        self._tally = tally
        around = Around(
            self._before_window,
            self._after_window,
            pause=lambda: self._wait(_AFTER_REFUSAL_S),
            may_spend=lambda: self._gate.spending.wait_s() == 0.0,
        )
        self._followers = [Follower(key, transfer, plan.follow, around) for key in mailboxes]
        self._interval_s = plan.pace.min_s
        self._failures = 0
        self._refusals = 0  # by a busy server since all was read: windows that came between change nothing
        self._entered_at = 0.0
        self._booked = 0  # commands of this connection
        self._booked_bytes = 0
        self._fetching = False
        self.silence = Silence(lambda: self._gate.shut)
        self._expect_within = self.silence.expect_within
        self._expect_within(plan.timeout_s)
        transfer.alive = lambda: self._expect_within(plan.timeout_s)
        self._alive = transfer.alive

    def run(self) -> None:
        """Work until told to stop; with `once`, until the mailboxes are empty or the account is given up."""
        with log_scope(NOTHING):
            self._run()

    def _run(self) -> None:
        while not self._stopper.stopped:
            try:
                if not self._enter():
                    return
                self._serve()
                self.silence.ended()
                if self._plan.once:
                    return
                self._wait(TURN_S)  # we have left for others who waited
            except Stopped:
                return
            except BudgetSpent:
                self.silence.ended()  # the gate knows how long
            except (SourceUnavailable, ProtocolError, LoginRefused) as error:
                self.silence.failed(error)
                self._failures += 1
                self._refusals += isinstance(error, ServerBusy)
                wait_s = self._gate.failed(error, max(self._failures, self._refusals))
                if self._gives_up(error, wait_s):
                    return
                if not self._gate.shut:
                    self._wait(wait_s)

    def _gives_up(self, error: FastmailIngestError, wait_s: float) -> bool:
        final = isinstance(error, LoginRefused | LimitReached) and wait_s > 0
        tries = ONCE_WINDOW_TRIES if self._fetching else ONCE_TRIES
        if not self._plan.once or not (self._failures >= tries or final):
            return False
        self._give_up(str(error))
        return True

    def _give_up(self, reason: str) -> None:
        _log.error("%s", reason)
        self._tally.failed(reason)

    # --- one connection ----------------------------------------------------------------------------

    def _enter(self) -> bool:
        """Wait until the account lets us in; False if that takes too long."""
        enter(Scope(account=self._gate.account))
        while (wait_s := self._gate.try_enter()) > 0:
            if self._plan.once and wait_s > ONCE_PATIENCE_S:
                # No failure: that somebody has asked must not make the account rest for longer.
                reason = f"account {self._gate.account} is left alone for {wait_s:.0f} s: {self._gate.reason}"
                self._give_up(reason)
                return False
            self._wait(min(wait_s, NAP_S))
            self._stopper.check()
        return True

    def _serve(self) -> None:
        """Connect and follow the mailboxes, as long as the connection holds and nobody else needs it."""
        self._entered_at = time.monotonic()
        self._fetching = False
        try:
            self._expect_within(_ANSWERS * self._plan.timeout_s)
            self.silence.connecting()
            source = self._connect()
            self.silence.connected(source)
            self._gate.logged_in()
            source.show_life(self._alive)
            self._booked = 0
            try:
                self._follow(source)
            finally:
                self._book_bytes()
                self._book(source, at_least=1)
                source.close()
        finally:
            self._gate.leave()

    def _follow(self, source: MailSource) -> None:
        alone = len(self._followers) == 1 and not self._plan.once
        while not self._stopper.stopped:
            found = sum(self._visit(source, follower, stay=alone) for follower in self._followers)
            self._served(source)
            if self._plan.once or self._should_leave():
                return
            if not alone or not found:
                self._slow_down(found)
                self._wait(self._interval_s)

    def _visit(self, source: MailSource, follower: Follower, *, stay: bool) -> int:
        """Take over what is in a mailbox, and stay in it if it is the only one of this connection."""
        enter(Scope(account=follower.key.account, mailbox=follower.key.mailbox))
        try:
            self._expect_within(_ANSWERS * self._plan.timeout_s)
            self._stopper.check()
            if not stay and not self._plan.once and self._polled(lambda: follower.is_current(source)):
                return 0
            cursor, found = self._polled(lambda: follower.sweep(source))
            reopen_at = time.monotonic() + REOPEN_S
            while stay and time.monotonic() < reopen_at and not self._should_leave():
                self._served(source)
                self._await_news(source)
                cursor, count = self._polled(partial(follower.news, source, cursor))
                self._slow_down(count)
            return found + stay
        except CursorMoved as error:
            # The connection is good: the next look begins where the cursor is now.
            _log.info("%s", error)
            return self._visit(source, follower, stay=stay) if self._plan.once else 1
        except MailboxRefused as error:
            # The connection is good, and so are the other mailboxes.
            _log.error("%s", error)
            self._tally.failed(str(error))
            self._transfer.put_refusal(follower.key, Refusal(time.time(), str(error)))
            return 0

    def _polled(self, look: Callable[[], _T]) -> _T:
        """Look at a mailbox, take over what is new, and tell how long that took."""
        began, ok = time.monotonic(), False
        try:
            found = look()
            ok = True
        except (Stopped, CursorMoved):
            ok = True  # nothing is wrong with the mailbox
            raise
        finally:
            self._tally.polled(ok, time.monotonic() - began)
        return found

    def _await_news(self, source: MailSource) -> None:
        """Wait by IDLE or by the clock."""
        if self._plan.idle and source.can_idle:
            self._idle(source, polling.idle_wait(self._plan.pace, random.random()))  # noqa: S311
        else:
            self._wait(self._interval_s)
        self._expect_within(self._plan.timeout_s)
        self._stopper.check()

    def _idle(self, source: MailSource, wait_s: float) -> None:
        """Stay in IDLE, and begin it anew from time to time, until the server or a signal wakes us."""
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0:
            began, probe_s = time.monotonic(), min(left_s, polling.PROBE_S)
            self._expect_within(probe_s + self._plan.timeout_s)
            source.wait(probe_s, self._stopper.fd)
            if source.news or time.monotonic() - began < probe_s:
                return

    def _should_leave(self) -> bool:
        return self._gate.crowded() and time.monotonic() - self._entered_at > ROUND_S

    def _served(self, source: MailSource) -> None:
        self._gone_well()
        self._refusals = 0
        self._book(source)

    def _gone_well(self) -> None:
        self._failures = 0
        self.silence.served()
        self._gate.good(self._entered_at)

    def _slow_down(self, found: int) -> None:
        self._interval_s = polling.next_interval(self._plan.pace, self._interval_s, found > 0)

    # --- what it costs -----------------------------------------------------------------------------

    def _before_window(self, asked: bool) -> None:
        self._stopper.check()
        if not asked:
            self._gate.spending.check()
        self._fetching = True

    def _after_window(self) -> None:
        self._fetching = False
        self._gone_well()
        self._book_bytes()

    def _book_bytes(self) -> None:
        if size := self._transfer.fetched_bytes - self._booked_bytes:
            self._booked_bytes += size
            self._gate.spending.spend(size, 0)

    def _book(self, source: MailSource, at_least: int = BOOKED_COMMANDS) -> None:
        """Book the commands of this connection, not each one by itself."""
        new = source.commands - self._booked
        if new >= at_least:
            self._booked += new
            self._gate.spending.spend(0, new)

    def _wait(self, seconds: float) -> None:
        self._expect_within(seconds)
        self._stopper.wait(seconds)
        self._expect_within(self._plan.timeout_s)
