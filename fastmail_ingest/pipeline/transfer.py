"""Moves one window of a mailbox into the stream.

A mail is behind the cursor only when Redis has it, so dying anywhere here costs a second fetch and
nothing else: the ledger knows what was appended.
"""

import logging
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, identify
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey
from fastmail_ingest.pipeline.ports import Intake, MailSource
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.policy.backoff import REDIS_RECONNECT, delay_s
from fastmail_ingest.policy.uidplan import Window

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_PRESSURE_CHECK_S = 0.05
# Fetching goes on when the lane is this much emptier than the mark, not at its first gap.
_PRESSURE_RELEASE = 0.8


class TransferPlan(msgspec.Struct, frozen=True):
    """How mails are gathered, and when to pause."""

    append_max: int  # mails an append
    append_bytes: int
    high_water: int  # mails waiting in the stream above which fetching pauses


class Tally(msgspec.Struct, frozen=True):
    """Whom to tell what happens."""

    fetching: Callable[[], None]
    fetched: Callable[[int, int], None]  # mails, bytes
    appended: Callable[[int], None]
    failed: Callable[[str], None]


class Transfer:
    """Fetches windows and appends their mails; waits when the stream is full or Redis is away."""

    def __init__(self, intake: Intake, plan: TransferPlan, stopper: Stopper, tally: Tally) -> None:
        self._intake = intake
        self._plan = plan
        self._stopper = stopper
        self._tally = tally
        self._waiting = 0  # mails in the stream, as far as we know

    def cursor(self, key: MailboxKey) -> Cursor:
        """How far the mailbox is taken over."""
        return self._patiently(lambda: self._intake.cursor(key))

    def run(self, source: MailSource, key: MailboxKey, window: Window, cursor: Cursor) -> tuple[Cursor, int]:
        """Fetch and append one window; returns the cursor behind it and how many mails there were.

        Raises Stopped in the middle of a FETCH: the connection is of no more use then.
        """
        self._wait_for_room(key)
        self._tally.fetching()
        matching = cursor.match_until > 0
        found = size = 0
        gathered: list[NewMail] = []
        for fetched in source.fetch(window):
            found += 1
            size += len(fetched.raw or b"")
            gathered.append(_new_mail(key, cursor.uid_validity, fetched))
            if len(gathered) >= self._plan.append_max or size >= self._plan.append_bytes:
                self._hand_on(key, gathered, size, cursor, matching)
                gathered, size = [], 0
                self._stopper.check()
        reached = _moved(cursor, window.last)
        self._hand_on(key, gathered, size, reached, matching)
        return reached, found

    def _hand_on(
        self, key: MailboxKey, mails: list[NewMail], size: int, cursor: Cursor, matching: bool
    ) -> None:
        new, self._waiting = self._patiently(
            lambda: self._intake.append(key, mails, cursor, by_content=matching)
        )
        self._tally.fetched(len(mails), size)
        self._tally.appended(new)

    def _wait_for_room(self, key: MailboxKey) -> None:
        """The mailbox is the buffer: begin no FETCH while the stream is full.

        Never in the middle of one: a server cuts a connection on which nobody reads.
        """
        if self._waiting < self._plan.high_water:
            return
        _log.info("%s: %d mails wait in the stream, fetching pauses", key, self._waiting)
        while self._waiting >= self._plan.high_water * _PRESSURE_RELEASE:
            if not self._stopper.wait(_PRESSURE_CHECK_S):
                raise Stopped
            self._waiting = self._patiently(self._intake.waiting)

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask Redis until it answers; raises Stopped when told to stop meanwhile."""
        failures = 0
        while True:
            try:
                return ask()
            except self._intake.unavailable as error:
                failures += 1
                _log.warning("Redis is away (%s), trying again", error)
                if not self._stopper.wait(delay_s(REDIS_RECONNECT, failures, random.random())):  # noqa: S311
                    raise Stopped from error


def _moved(cursor: Cursor, last_uid: int) -> Cursor:
    match_until = cursor.match_until if last_uid < cursor.match_until else 0
    return Cursor(cursor.uid_validity, last_uid, match_until)


def _new_mail(key: MailboxKey, uid_validity: int, fetched: Fetched) -> NewMail:
    raw = fetched.raw or b""
    identity = identify(
        key.account,
        key.mailbox,
        uid_validity,
        fetched.uid,
        gm_msgid=fetched.gm_msgid,
        email_id=fetched.email_id,
    )
    hashed = content_hash(raw)
    envelope = codec.Envelope(
        version=codec.CODEC_VERSION,
        id=identity,
        account=key.account,
        mailbox=key.mailbox,
        uid_validity=uid_validity,
        uid=fetched.uid,
        flags=fetched.flags,
        labels=fetched.labels,
        thread_id=fetched.gm_thrid or fetched.thread_id,
        internal_date=fetched.internal_date,
        size=fetched.size,
        content_hash=hashed,
        fetched_at=time.time(),
        trace_id=os.urandom(16).hex(),
        raw=raw,
        truncated=fetched.truncated,
    )
    return NewMail(identity, hashed, codec.encode(envelope))
