"""Moves one window of a mailbox into the stream.

A mail is behind the cursor only when Redis has it, so dying anywhere here costs a second fetch and
nothing else: the ledger knows what was appended.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from fastmail_ingest.errors import BlobUnavailable, FetchRefused
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.account_state import Quarantined, Refusal
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_key, identify
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Beginning, Cursor, Fetched, MailboxKey
from fastmail_ingest.pipeline.beginning import Sieve
from fastmail_ingest.pipeline.large import Underway
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.ports import Intake, MailSource, Traces
from fastmail_ingest.pipeline.room import Room
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.untraced import Untraced
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window, server_validity

_log = logging.getLogger(__name__)


class CursorMoved(Exception):
    """Somebody else moved the mailbox's cursor: what we believe to know of it is void."""


class TransferPlan(msgspec.Struct, frozen=True):
    """How mails are gathered, where they go, and when to pause."""

    append_max: int  # mails an append
    append_bytes: int
    marks: Marks  # above which fetching pauses
    lane: Lane = Lane.LIVE
    position_in: MailboxKey | None = None  # where the cursor is kept, if not under the mailbox: of a backfill


class Tally(msgspec.Struct, frozen=True):
    """Whom to tell what happens."""

    fetching: Callable[[], None]
    fetched: Callable[[int, int], None]  # mails, bytes
    appended: Callable[[int], None]  # how many of the fetched were new; comes right after `fetched`
    failed: Callable[[str], None]
    polled: Callable[[bool, float], None] = lambda ok, seconds: None  # a look at a mailbox, and its end
    traces: Traces = Untraced()


class Turn(NamedTuple):
    """A window to fetch, the one that is asked for ahead, and whether this one was itself."""

    window: Window
    then: Window | None = None
    asked: bool = False


class Moved(NamedTuple):
    """Where the cursor is after a window, and how many mails and bytes it had."""

    cursor: Cursor
    mails: int
    size: int


class _Seen(msgspec.Struct):
    """Mails that a FETCH brought, and their bytes; those included that are left alone."""

    mails: int = 0
    size: int = 0


class _Goal(NamedTuple):
    """Where the cursor is to be after an append, and where the mailbox began, if that is news."""

    cursor: Cursor
    began: Beginning | None = None


class Transfer:
    """Fetches windows and appends their mails; waits when the stream is full or Redis is away."""

    def __init__(
        self, intake: Intake, plan: TransferPlan, stopper: Stopper, tally: Tally, outage: Outage
    ) -> None:
        self._intake = intake
        self._plan = plan
        self._stopper = stopper
        self._tally = tally
        self._room = Room(intake, plan.marks, stopper, outage)
        self._room.alive = lambda: self.alive()  # noqa: PLW0108 - whoever watches us sets ours later
        self._patiently = self._room.patiently
        self._large = Underway(intake, self._patiently)
        self.fetched_bytes = 0  # of mails, also of those in windows that failed: the provider counts them
        self._stored: dict[MailboxKey, Cursor] = {}  # as we believe the cursors in Redis to be
        self._began: dict[MailboxKey, Beginning] = {}  # likewise
        self.left_alone: Counter[MailboxKey] = Counter()  # mails from before a mailbox began
        self.alive: Callable[[], None] = lambda: None  # called at every step, also while waiting

    def cursor(self, key: MailboxKey) -> Cursor:
        """How far the mailbox is taken over."""
        kept_in = self._plan.position_in or key
        self._stored[key] = self._patiently(lambda: self._intake.cursor(kept_in))
        return self._stored[key]

    def beginning(self, key: MailboxKey) -> Beginning:
        """Where the mailbox began, if it began with start = "now"."""
        self._began[key] = self._patiently(lambda: self._intake.beginning(key))
        return self._began[key]

    def prove_fresh(self, key: MailboxKey, at_s: float) -> None:
        """Say that at this time (epoch s) the mailbox was read to its end."""
        self._patiently(lambda: self._intake.accounts.prove_fresh(key, at_s))

    def put_refusal(self, key: MailboxKey, refusal: Refusal) -> None:
        """Say that its server did not open the mailbox."""
        self._patiently(lambda: self._intake.accounts.put_refusal(key, refusal))

    def quarantine(self, key: MailboxKey) -> list[Quarantined]:
        """The mails of the mailbox that its server does not give out."""
        return self._patiently(lambda: self._intake.accounts.quarantine(key))

    def put_quarantine(self, key: MailboxKey, mails: Sequence[Quarantined]) -> None:
        """Write that list down."""
        self._patiently(lambda: self._intake.accounts.put_quarantine(key, mails))

    def check(self, key: MailboxKey) -> None:
        """Raise CursorMoved if the cursor was moved: by an operator, a restore, a Redis that lost writes."""
        before = self._stored.get(key)
        if self.cursor(key) != before:
            raise CursorMoved(f"{key}: its cursor was moved, looking again from there")

    def has_room(self) -> bool:
        """Whether a window more may be asked for. Raises Stopped when told to stop meanwhile."""
        return self._room.is_there()

    def run(self, source: MailSource, key: MailboxKey, turn: Turn, cursor: Cursor) -> Moved:
        """Fetch and append one window, and move the cursor behind it.

        Raises Stopped in the middle of a FETCH: the connection is of no more use then. Raises CursorMoved
        after it.
        """
        return self._run(source, key, turn, cursor, _moved(cursor, turn.window.last))

    def take(self, source: MailSource, key: MailboxKey, window: Window, cursor: Cursor) -> None:
        """Fetch and append mails that the cursor has passed already."""
        self._run(source, key, Turn(window), cursor, cursor)

    def move(self, key: MailboxKey, cursor: Cursor, began: Beginning | None = None) -> None:
        """Move the cursor without any mail, and note that the mailbox begins there. Raises CursorMoved."""
        if not self._hand_on(key, [], 0, Cursor(), _Goal(_moved(cursor, cursor.last_uid), began)):
            raise CursorMoved(f"{key}: its cursor was moved, looking again from there")

    def _run(self, source: MailSource, key: MailboxKey, turn: Turn, cursor: Cursor, reached: Cursor) -> Moved:
        if not turn.asked:  # what was asked for comes: a server cuts a connection on which nobody reads
            self._wait_for_room(key)
        self._tally.fetching()
        size, seen = 0, _Seen()
        sieve = Sieve(
            self._began.get(key, Beginning()), cursor.uid_validity, partial(self._known, key, cursor)
        )
        gathered: list[NewMail] = []
        self._large.begin()
        homeless: BlobUnavailable | None = None
        for fetched in sieve.keeps(self._counted(source.fetch(turn.window, turn.then), seen)):
            size += len(fetched.raw or b"")
            try:
                gathered.append(self._new_mail(key, cursor.uid_validity, fetched))
            except BlobUnavailable as error:
                homeless = error  # its neighbours go on
            if len(gathered) >= self._plan.append_max or size >= self._plan.append_bytes:
                self._hand_on(key, gathered, size, cursor, _Goal(cursor))
                gathered, size = [], 0
                self._stopper.check()
        goes_on = homeless is None and reached is not cursor
        goal = _Goal(reached, sieve.begins(turn.window)) if goes_on else _Goal(cursor)
        if not self._hand_on(key, gathered, size, cursor, goal):
            raise CursorMoved(f"{key}: its cursor was moved while we fetched, looking again from there")
        if homeless:
            raise FetchRefused(str(homeless)) from homeless
        self.left_alone[key] += sieve.left_alone
        return Moved(reached, seen.mails, seen.size)

    def _counted(self, mails: Iterable[Fetched], seen: _Seen) -> Iterator[Fetched]:
        for fetched in mails:
            seen.mails += 1
            seen.size += fetched.size
            self.fetched_bytes += fetched.size
            yield fetched

    def _known(self, key: MailboxKey, cursor: Cursor, mails: Sequence[Fetched]) -> Sequence[bool]:
        named = [_named(key, cursor.uid_validity, fetched) for fetched in mails]
        return self._patiently(lambda: self._intake.known(named))

    def _hand_on(self, key: MailboxKey, mails: list[NewMail], size: int, cursor: Cursor, goal: _Goal) -> bool:
        """Append; False if the cursor was not where we believed it to be."""
        # In the middle of a window the cursor stays: only the mails are taken over.
        believed = self._stored.get(key, Cursor())
        moves = goal.cursor is not cursor
        append = Append(
            self._plan.position_in or key, mails, goal.cursor if moves else believed, believed,
            by_content=cursor.match_until > 0, lane=self._plan.lane, found_in=key.mailbox,
            began=goal.began,
        )  # fmt: skip
        with self._tally.traces.appending(key, append.lane, len(mails)):
            done = self._room.put(append, self._large.renew)
        self._large.appended(all_new=done.new == len(mails))
        if done.in_place:
            self._stored[key] = append.cursor
            self._began[key] = goal.began or self._began.get(key, Beginning())
        self._tally.fetched(len(mails), size)
        self._tally.appended(done.new)
        return done.in_place

    def _new_mail(self, key: MailboxKey, uid_validity: int, fetched: Fetched) -> NewMail:
        """Raises BlobUnavailable for a large mail that cannot be kept."""
        identity, content = _named(key, uid_validity, fetched)
        origin = self._tally.traces.create(key, identity, fetched.size)
        envelope = codec.Envelope(
            version=codec.CODEC_VERSION if fetched.draft is None else codec.BLOB_VERSION,
            id=identity,
            account=key.account,
            mailbox=key.mailbox,
            uid_validity=server_validity(uid_validity),
            uid=fetched.uid,
            flags=fetched.flags,
            labels=fetched.labels,
            thread_id=fetched.gm_thrid or fetched.thread_id,
            internal_date=fetched.internal_date,
            size=fetched.size,
            content_hash=fetched.content_hash,
            fetched_at=time.time(),
            trace_id=origin.trace_id,
            raw=fetched.raw or b"",
            truncated=fetched.truncated,
            blob=self._large.keep(identity, fetched.draft) if fetched.draft is not None else "",
            traceparent=origin.traceparent,
        )
        return NewMail(identity, content, codec.encode(envelope))

    def _wait_for_room(self, key: MailboxKey) -> None:
        """The mailbox is the buffer: begin no FETCH while the stream is full.

        Never in the middle of one: a server cuts a connection on which nobody reads.
        """
        self._room.waiting = lambda reason: _log.info(
            "%s: %s", key, f"{reason}, fetching pauses" if reason else "fetching goes on"
        )
        self._room.wait()


def _moved(cursor: Cursor, last_uid: int) -> Cursor:
    match_until = cursor.match_until if last_uid < cursor.match_until else 0
    return Cursor(cursor.uid_validity, last_uid, match_until)


def _named(key: MailboxKey, uid_validity: int, fetched: Fetched) -> tuple[str, bytes]:
    """What the ledger knows a mail by: its name, and its content."""
    identity = identify(
        key.account,
        key.mailbox,
        uid_validity,
        fetched.uid,
        gm_msgid=fetched.gm_msgid,
        email_id=fetched.email_id,
    )
    return identity, content_key(key.account, fetched.content_hash)
