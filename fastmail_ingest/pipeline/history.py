"""Moves old mail of a mailbox into the backfill lane, over as many connections as it takes, one at a time.

Where it goes on after it was stopped follows from the ledger: what is there is not asked for again.
"""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from fastmail_ingest.errors import (
    FetchRefused,
    LimitReached,
    LoginRefused,
    ProtocolError,
    ServerBusy,
    SourceUnavailable,
    TooManyConnections,
)
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.gate import NAP_S, Gate
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.pipeline.transfer import CursorMoved, Transfer, Turn
from fastmail_ingest.policy import width as widths
from fastmail_ingest.policy.uidplan import Window, server_validity
from fastmail_ingest.policy.width import Width

_log = logging.getLogger(__name__)

TRIES = 5  # connections in a row that bring nothing, before it is given up
# Of the bytes that an account may fetch a day: the rest is for live mail.
BUDGET_SHARE = 0.8
FAILURES_ALONE = 3  # of one mail, before it is left out
# A command has all UIDs in it: servers take lines of 8,000 bytes at least (RFC 7162 4).
UIDS_MAX = 500


class HistoryPlan(msgspec.Struct, frozen=True):
    """Which mails are meant: their UIDs, ascending, under this UIDVALIDITY (with our generation)."""

    key: MailboxKey
    uid_validity: int
    uids: Sequence[int]


class Surroundings(msgspec.Struct, frozen=True):
    """What is around a history: the way to the account, and who hears how it goes."""

    connect: Callable[[], MailSource]
    chosen: Callable[[Sequence[int]], Window]  # UIDs as what a FETCH asks for
    gate: Gate
    progress: Callable[[int, int], None]  # mails that are done with, bytes that were fetched
    problem: Callable[[str], None]
    waiting: Callable[[str], None]  # hears why we wait; "" when it goes on


class History:
    """Takes over the mails of one plan."""

    def __init__(self, plan: HistoryPlan, transfer: Transfer, stopper: Stopper, around: Surroundings) -> None:
        self._plan = plan
        self._transfer = transfer
        self._stopper = stopper
        self._around = around
        self._left = list(plan.uids)
        self._width = Width(min(widths.FIRST, UIDS_MAX))
        self._entered_at = 0.0
        self._booked_bytes = 0

    def run(self) -> None:
        """Take over all of them.

        Raises Stopped, LoginRefused, or SourceUnavailable or ProtocolError if the server lets us down again
        and again. What the provider's or our own limit forbids now is waited for.
        """
        self._transfer.cursor(self._plan.key)
        cursor = Cursor(self._plan.uid_validity)
        failures = 0
        while self._left:
            before = len(self._left)
            try:
                cursor = self._over_one_connection(cursor)
            except LimitReached as error:
                self._around.gate.failed(error, 1)
            except LoginRefused as error:
                if self._around.gate.failed(error, 1) > 0:
                    raise
            except (SourceUnavailable, ProtocolError) as error:
                failures = failures + 1 if len(self._left) == before else 1
                if failures >= TRIES:
                    raise
                wait_s = self._around.gate.failed(error, failures)
                if not self._around.gate.shut:
                    self._wait(wait_s, str(error))

    def _enter(self) -> None:
        """Wait until the account lets us in, and our share of its bytes does: live mail may take the rest."""
        gate = self._around.gate
        while wait_s := gate.try_enter():
            self._wait(min(wait_s, NAP_S), gate.reason)
        self._around.waiting("")

    def _over_one_connection(self, cursor: Cursor) -> Cursor:
        self._enter()
        self._entered_at = time.monotonic()
        try:
            source = self._around.connect()
            self._around.gate.logged_in()
            try:
                state = source.examine(self._plan.key.mailbox)
                if state.uid_validity != server_validity(self._plan.uid_validity):
                    raise ProtocolError(
                        f"{self._plan.key}: its UIDVALIDITY has changed. remedy: start the import again"
                    )
                while self._left and not self._around.gate.spending.wait_s():
                    cursor = self._window(source, cursor)
            finally:
                self._book()
                source.close()
        finally:
            self._around.gate.leave()
        return cursor

    def _window(self, source: MailSource, cursor: Cursor) -> Cursor:
        """Take over one window. After a failure the next one is narrower, down to the mail at fault."""
        self._stopper.check()
        part = self._left[: self._width.uids]
        began = time.monotonic()
        try:
            moved = self._transfer.run(source, self._plan.key, Turn(self._around.chosen(part)), cursor)
        except CursorMoved:
            # Only the position: by an operator, or by another such import.
            self._transfer.cursor(self._plan.key)
            return cursor
        except (LimitReached, ServerBusy, TooManyConnections):
            raise  # no mail is to blame
        except (FetchRefused, SourceUnavailable, ProtocolError) as error:
            self._width = widths.after_failure(self._width, len(part))
            if self._width.failed_alone >= FAILURES_ALONE:
                self._around.problem(f"{self._plan.key}: UID {part[0]} is left out: {error}")
                self._width = Width(1)
                del self._left[0]
            if isinstance(error, FetchRefused):
                return cursor  # the connection is good
            raise
        self._width = widths.after_success(
            self._width, UIDS_MAX, len(part), moved.size, time.monotonic() - began
        )
        del self._left[: len(part)]
        self._book()
        self._around.gate.good(self._entered_at)
        self._around.progress(len(part), moved.size)
        return moved.cursor

    def _book(self) -> None:
        if size := self._transfer.fetched_bytes - self._booked_bytes:
            self._booked_bytes += size
            self._around.gate.spending.spend(size, 1)

    def _wait(self, seconds: float, reason: str) -> None:
        self._around.waiting(reason)
        if not self._stopper.wait(seconds):
            raise Stopped
