"""One mailbox and where we are in it: takes over what is new, window by window, over whatever connection.

A mail that its server does not give out is left in quarantine, so that it does not keep back those behind it.
"""

import logging
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from fastmail_ingest.errors import (
    FetchRefused,
    LimitReached,
    MailboxRefused,
    ProtocolError,
    ServerBusy,
    SourceUnavailable,
    TooManyConnections,
)
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey, MailboxState
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.quarantine import Quarantine
from fastmail_ingest.pipeline.transfer import Transfer, Turn
from fastmail_ingest.policy import uidplan
from fastmail_ingest.policy import width as widths
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.policy.width import Width

_log = logging.getLogger(__name__)

Above: TypeAlias = Callable[[int], Window | None]
"""The next window above a UID, None if there is nothing more to take over."""

FAILURES_ALONE = 3  # of a single mail, in a row, before it is put into quarantine
FALSE_ALARMS = 3  # in a row: a server that announces something at each look would keep us looking for ever
FRESH_EVERY_S = 1.0  # no need to tell more often that a mailbox is fresh


class FollowPlan(msgspec.Struct, frozen=True):
    """How a mailbox is read: most UIDs a FETCH, and whether a new one begins with what comes from now on."""

    window: int
    begin_now: bool = False


class Around(msgspec.Struct, frozen=True):
    """What a follower asks of those around it."""

    before_window: Callable[[bool], None]  # raises Stopped, and unless told it was asked ahead, BudgetSpent
    after_window: Callable[[], None]
    pause: Callable[[], None]  # waits a moment after a refusal
    may_spend: Callable[[], bool]  # whether there is budget for a window more


class Follower:
    """Keeps one mailbox flowing into the stream."""

    def __init__(self, key: MailboxKey, transfer: Transfer, plan: FollowPlan, around: Around) -> None:
        self.key = key
        self._transfer = transfer
        self._plan = plan
        self._around = around
        self._width = Width(min(widths.FIRST, plan.window))
        self._quarantine = Quarantine(key, transfer)
        self._fresh_at = 0.0

    def is_current(self, source: MailSource) -> bool:
        """Whether the mailbox has nothing new, without opening it; False also if the server does not say."""
        began = time.time()
        state = source.status(self.key.mailbox)
        current = state is not None and uidplan.is_current(self._transfer.cursor(self.key), state)
        current = current and not self._quarantine.is_due(began)
        if current:
            self._prove_fresh(began)
        return current

    def sweep(self, source: MailSource) -> tuple[Cursor, int]:
        """Take over all that is in the mailbox now; returns the cursor and how many mails were fetched."""
        began = time.time()
        state = source.examine(self.key.mailbox)
        cursor = self._start(state)

        def above(uid: int) -> Window | None:
            return uidplan.next_window(uid, state.uid_next, self._width.uids)

        cursor, found = self._take(
            source, cursor, above, lambda reached: self._skip_gap(source, reached, state)
        )
        self._quarantine.retry(source, cursor)
        self._prove_fresh(began)
        return cursor, found

    def news(self, source: MailSource, cursor: Cursor) -> tuple[Cursor, int]:
        """With the mailbox open: fetch what has come since the cursor, and what comes meanwhile."""
        self._transfer.check(self.key)
        found = fruitless = 0
        while True:
            began = time.time()
            # Some servers show new mail to a search only after they have had a chance to announce it.
            source.look()
            uids = source.uids_above(cursor.last_uid)
            fruitless = 0 if uids else fruitless + 1
            cursor, count = self._take(source, cursor, self._parts_of(uids), lambda reached: reached)
            found += count
            if not source.news or fruitless >= FALSE_ALARMS:
                source.news = False
                self._quarantine.retry(source, cursor)
                self._prove_fresh(began)
                return cursor, found

    def _parts_of(self, uids: list[int]) -> Above:
        """The windows of mails that are known to be there; `uids` rise."""

        def above(uid: int) -> Window | None:
            first = bisect_right(uids, uid)
            part = uids[first : first + self._width.uids]
            return Window(part[0], part[-1]) if part else None

        return above

    def _take(
        self, source: MailSource, cursor: Cursor, above: Above, over_gap: Callable[[Cursor], Cursor]
    ) -> tuple[Cursor, int]:
        """Take over window after window; each is asked for while the one before comes, if all goes well."""
        # While a mailbox is read anew its mails are judged by the window they lie in: one at a time.
        plain = not cursor.match_until
        found, turn, count = 0, self._turn(above, above(cursor.last_uid), dense=plain), 0
        while turn is not None:
            before = count  # a window may have no mail left, because all came with the one before
            cursor, count = self._run(source, turn, cursor)
            found += count
            if turn.then is not None and cursor.last_uid == turn.window.last:
                turn = self._turn(above, turn.then, asked=True, dense=before + count > 0)
                continue
            if not count:
                cursor = over_gap(cursor)
            turn = self._turn(above, above(cursor.last_uid), dense=plain)
        return cursor, found

    def _turn(
        self, above: Above, window: Window | None, *, asked: bool = False, dense: bool = True
    ) -> Turn | None:
        """The next turn. `dense`: the last window had mails, so the next one is no leap over a gap."""
        if window is None:
            return None
        unhurt = self._width.uids >= min(widths.FIRST, self._plan.window) and not self._width.failed_alone
        well = dense and unhurt and self._transfer.has_room() and self._around.may_spend()
        return Turn(window, above(window.last) if well else None, asked)

    def _start(self, state: MailboxState) -> Cursor:
        cursor, began = self._transfer.cursor(self.key), self._transfer.beginning(self.key)
        begin = uidplan.start(cursor, state, begin_now=self._plan.begin_now)
        is_new = uidplan.server_validity(cursor.uid_validity) == 0
        is_void = begin.uid_validity != cursor.uid_validity and not is_new
        if is_new:
            news = Beginning(begin.uid_validity, begin.last_uid) if self._plan.begin_now else None
        else:
            news = _reread(began, state) if is_void else None
            begin = self._above(began, begin)
        if begin != cursor:
            # Written down at once, whatever happens to us: what comes from this moment on is to be handled,
            # and no name that is given from now on may be given a second time.
            self._transfer.move(self.key, begin, news)
        if is_void:
            _log.warning(
                "%s: its UIDs are void (UIDVALIDITY was %d, is %d, UIDNEXT %d); reading it anew, known mails "
                "are recognised by their content",
                self.key, cursor.uid_validity, state.uid_validity, state.uid_next,
            )  # fmt: skip
        elif begin.last_uid and is_new:
            _log.info("%s: %d mails that are there are left alone (start = now)", self.key, state.exists)
        self._quarantine.load(begin.uid_validity)
        return begin

    def _above(self, began: Beginning, cursor: Cursor) -> Cursor:
        """The cursor may have been put back further than its mailbox was to be read (see reconcile.lua)."""
        above = uidplan.above(cursor, began)
        if above != cursor:
            _log.info("%s: what is up to UID %d stays left alone (start = now)", self.key, began.last_uid)
        return above

    def _skip_gap(self, source: MailSource, cursor: Cursor, state: MailboxState) -> Cursor:
        """After a window without mail: go to the next mail there is, since gaps can be huge."""
        if cursor.last_uid + 1 >= state.uid_next:
            return cursor
        ahead = source.uids_above(cursor.last_uid)
        last_uid = min(ahead[0], state.uid_next) - 1 if ahead else state.uid_next - 1
        return msgspec.structs.replace(cursor, last_uid=last_uid)

    def _run(self, source: MailSource, turn: Turn, cursor: Cursor) -> tuple[Cursor, int]:
        """Take over one window. After a failure the next one is narrower, down to the mail at fault."""
        window = turn.window
        self._around.before_window(turn.asked)
        began = time.monotonic()
        try:
            moved = self._transfer.run(source, self.key, turn, cursor)
        except FetchRefused as error:
            # The connection is good, so this goes on at once.
            self._narrow(window, error)
            if self._width.failed_alone < FAILURES_ALONE:
                self._around.pause()
                return cursor, 0
            if not self._left_aside(window.first, cursor, error):
                reason = f"{self.key}: the mail server gives out none of its mails: {error}"
                raise MailboxRefused(reason) from error
            return msgspec.structs.replace(cursor, last_uid=window.first), 0
        except (LimitReached, ServerBusy, TooManyConnections):
            raise  # no mail is to blame
        except (SourceUnavailable, ProtocolError) as error:
            self._narrow(window, error)
            if self._width.failed_alone >= FAILURES_ALONE:
                self._left_aside(window.first, cursor, error)
            raise
        uids, elapsed_s = window.last - window.first + 1, time.monotonic() - began
        self._width = widths.after_success(self._width, self._plan.window, uids, moved.size, elapsed_s)
        self._quarantine.served()
        self._around.after_window()
        return moved.cursor, moved.mails

    def _narrow(self, window: Window, error: Exception) -> None:
        self._width = widths.after_failure(self._width, window.last - window.first + 1)
        _log.debug("%s: UIDs %s: %s; next window: %d", self.key, window, error, self._width.uids)

    def _left_aside(self, uid: int, cursor: Cursor, error: Exception) -> bool:
        if not self._quarantine.add(cursor, uid, str(error)):
            return False
        self._width = Width(1)
        self._transfer.move(self.key, msgspec.structs.replace(cursor, last_uid=uid))
        return True

    def _prove_fresh(self, began: float) -> None:
        if alone := self._transfer.left_alone.pop(self.key, 0):
            _log.info(
                "%s: read anew; %d mails from before it began stay left alone (start = now)", self.key, alone
            )
        if began - self._fresh_at >= FRESH_EVERY_S:
            self._fresh_at = began
            self._transfer.prove_fresh(self.key, began)


def _reread(began: Beginning, state: MailboxState) -> Beginning | None:
    """Up to where there may be old mails in a mailbox whose UIDs are void, if it began with start = "now"."""
    if not began.uid_validity:
        return None
    return msgspec.structs.replace(began, reread_until=state.uid_next - 1)
