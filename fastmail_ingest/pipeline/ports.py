"""What the data path needs from the world. The composition root puts the real parts in."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from fastmail_ingest.model.account_state import Quarantined, Refusal
from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Beginning, Cursor, Fetched, MailboxKey, MailboxState
from fastmail_ingest.model.pressure import RedisMemory
from fastmail_ingest.model.trace import Origin
from fastmail_ingest.policy.uidplan import Window


class Lanes(Protocol):
    """The stream as one worker sees it."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    async def open(self) -> int: ...  # noqa: D102
    async def read(self, count: int) -> list[Entry]: ...  # noqa: D102
    async def interrupt(self, client_id: int) -> None: ...  # noqa: D102
    async def settle(self, settlement: Settlement) -> int: ...  # noqa: D102
    async def owned(self, entries: Sequence[Entry]) -> list[Entry]: ...  # noqa: D102
    async def hand_back(self, entries: Sequence[Entry]) -> None: ...  # noqa: D102
    async def give_back(self, *, may_have_run: bool) -> int: ...  # noqa: D102
    async def backlog(self) -> int: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


class Desk(Protocol):
    """Where a worker shows which entries are in hand: what is there when it dies is to blame."""

    def hold(self, cell: int, entry: Entry) -> None: ...  # noqa: D102
    def release(self, cell: int) -> None: ...  # noqa: D102


class Journal(Protocol):
    """Who wants to know what was taken and settled: counters, metrics, measurements."""

    def taken(self, count: int) -> None: ...  # noqa: D102
    def settled(self, settlement: Settlement, ignored: int) -> None: ...  # noqa: D102


class Traces(Protocol):
    """Where the way of a producer's mails is traced, if it is; for one thread."""

    def create(self, key: MailboxKey, identity: str, size: int) -> Origin: ...  # noqa: D102
    def appending(self, key: MailboxKey, lane: Lane, mails: int) -> AbstractContextManager[None]: ...  # noqa: D102


class MailSource(Protocol):
    """A connection to a mail server."""

    news: bool

    @property
    def commands(self) -> int: ...  # noqa: D102
    @property
    def can_idle(self) -> bool: ...  # noqa: D102
    @property
    def waits_since(self) -> float: ...  # noqa: D102
    def status(self, mailbox: str) -> MailboxState | None: ...  # noqa: D102
    def examine(self, mailbox: str) -> MailboxState: ...  # noqa: D102
    def look(self) -> None: ...  # noqa: D102
    def uids_above(self, last_uid: int) -> list[int]: ...  # noqa: D102
    def fetch(self, window: Window, then: Window | None = None) -> Iterator[Fetched]: ...  # noqa: D102
    def wait(self, timeout_s: float, wake_fd: int) -> None: ...  # noqa: D102
    def show_life(self, alive: Callable[[], None]) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class MailboxBooks(Protocol):
    """What is written down about mailboxes beside their cursors."""

    def prove_fresh(self, key: MailboxKey, at_s: float) -> None: ...  # noqa: D102
    def put_refusal(self, key: MailboxKey, refusal: Refusal) -> None: ...  # noqa: D102
    def quarantine(self, key: MailboxKey) -> list[Quarantined]: ...  # noqa: D102
    def put_quarantine(self, key: MailboxKey, mails: Iterable[Quarantined]) -> None: ...  # noqa: D102


class BlobBooks(Protocol):
    """What the database says about the blobs of large mails."""

    def space(self) -> str: ...  # noqa: D102


class Intake(Protocol):
    """The stream as a producer sees it."""

    @property
    def unavailable(self) -> tuple[type[BaseException], ...]: ...  # noqa: D102
    @property
    def accounts(self) -> MailboxBooks: ...  # noqa: D102
    def cursor(self, key: MailboxKey) -> Cursor: ...  # noqa: D102
    def beginning(self, key: MailboxKey) -> Beginning: ...  # noqa: D102
    def known(self, mails: Sequence[tuple[str, bytes]]) -> Sequence[bool]: ...  # noqa: D102
    def name_import(self, key: MailboxKey, name: str) -> None: ...  # noqa: D102
    def append(self, append: Append) -> Appended: ...  # noqa: D102
    def waiting(self) -> tuple[int, int]: ...  # noqa: D102
    def memory(self) -> RedisMemory: ...  # noqa: D102
    @property
    def blobs(self) -> BlobBooks: ...  # noqa: D102
    def states(self, identities: Sequence[str]) -> list[str]: ...  # noqa: D102
