"""Where a follower begins in a mailbox: written down before anything else can go wrong."""

from collections.abc import Iterator

import pytest
from support.books import MemoryBooks

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.model.account_state import Quarantined
from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey, MailboxState
from fastmail_ingest.model.pressure import RedisMemory
from fastmail_ingest.pipeline.follower import Around, Follower, FollowPlan
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window

KEY = MailboxKey("a", "INBOX")


class Shelf:
    """An intake in memory, for one mailbox."""

    unavailable = ()

    def __init__(self) -> None:
        self.accounts = MemoryBooks()
        self.at = Cursor()
        self.taken: dict[str, int] = {}  # identity, and how often it came

    def cursor(self, _key: MailboxKey) -> Cursor:
        return self.at

    def append(self, append: Append) -> Appended:
        for mail in append.mails:
            self.taken[mail.identity] = self.taken.get(mail.identity, 0) + 1
        self.at = append.cursor
        return Appended(len(append.mails), 0, 0, in_place=True)

    def waiting(self) -> tuple[int, int]:
        return 0, 0

    def memory(self) -> RedisMemory:
        return RedisMemory(0, 0)


class Server:
    """A mailbox; `cut_after` mails of a FETCH the connection breaks."""

    news = False
    commands = 0
    can_idle = False

    def __init__(self, *uids: int, uid_validity: int = 7, uid_next: int = 0, sticky: bool = True) -> None:
        self.uids = uids
        self.state = MailboxState(uid_validity, uid_next or max(uids, default=0) + 1, len(uids), sticky)
        self.cut_after = 1 << 30

    def examine(self, _mailbox: str) -> MailboxState:
        return self.state

    def uids_above(self, last_uid: int) -> list[int]:
        return [uid for uid in self.uids if uid > last_uid]

    def look(self) -> None:
        pass

    def fetch(self, window: Window) -> Iterator[Fetched]:
        for number, uid in enumerate(uid for uid in self.uids if window.first <= uid <= window.last):
            if number >= self.cut_after:
                raise SourceUnavailable("cut")
            yield Fetched(uid, size=1, raw=b"%d" % uid)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def follower(shelf: Shelf, *, begin_now: bool = False) -> Follower:
    """As it is when a process has just begun."""
    tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, lambda reason: None)
    plan = TransferPlan(1, 1 << 20, Marks(1 << 30, 1 << 40, 1.0))
    transfer = Transfer(shelf, plan, Stopper(), tally, Outage())
    around = Around(lambda: None, lambda size: None, lambda: None)
    return Follower(KEY, transfer, FollowPlan(100, begin_now), around)


def test_now_is_remembered_of_a_mailbox_that_is_empty(shelf: Shelf) -> None:
    follower(shelf, begin_now=True).sweep(Server())
    # What comes while nobody looks is behind that moment.
    follower(shelf, begin_now=True).sweep(Server(1, 2))
    assert list(shelf.taken) == ["a:INBOX:7:1", "a:INBOX:7:2"]


def test_a_mailbox_that_was_made_anew_and_was_seen_empty_is_read_from_its_beginning(shelf: Shelf) -> None:
    follower(shelf).sweep(Server(1, 2, 3))
    follower(shelf).sweep(Server())
    follower(shelf).sweep(Server(1, 2, 3, 4, 5))
    assert len(shelf.taken) == 8


def test_uids_that_do_not_last_name_nothing_in_the_next_session(shelf: Shelf) -> None:
    follower(shelf).sweep(Server(1))
    first = Server(1, 2, 3, sticky=False)
    first.cut_after = 2
    with pytest.raises(SourceUnavailable):
        follower(shelf).sweep(first)
    before = set(shelf.taken)
    follower(shelf).sweep(Server(1, 2, 3, sticky=False))
    assert len(set(shelf.taken) - before) == 3, "the same UIDs may be other mails now"


def test_a_uidvalidity_that_comes_back_brings_what_was_left_aside(shelf: Shelf) -> None:
    shelf.at = Cursor(7, 5)
    shelf.accounts.put_quarantine(KEY, [Quarantined(7, 3, 1, 1e12, "refused")])
    other = Server(1, 2, uid_validity=8)
    other.cut_after = 0
    with pytest.raises(SourceUnavailable):
        follower(shelf).sweep(other)
    follower(shelf).sweep(Server(1, 2, 3, 4, 5))
    assert "a:INBOX:7:3" in shelf.taken
