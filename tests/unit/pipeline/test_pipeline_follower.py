"""Where a follower begins in a mailbox: written down before anything else can go wrong."""

import time

import pytest
from support.fake_mailbox import FakeServer, Shelf

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.model.account_state import Quarantined
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.follower import Around, Follower, FollowPlan
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.pressure import Marks

KEY = MailboxKey("a", "INBOX")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def follower(shelf: Shelf, *, begin_now: bool = False) -> Follower:
    """As it is when a process has just begun."""
    tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, lambda reason: None)
    plan = TransferPlan(1, 1 << 20, Marks(1 << 30, 1 << 40, 1.0))
    transfer = Transfer(shelf, plan, Stopper(), tally, Outage())
    around = Around(lambda _: None, lambda: None, lambda: None, lambda: True)
    return Follower(KEY, transfer, FollowPlan(100, begin_now), around)


def test_now_is_remembered_of_a_mailbox_that_is_empty(shelf: Shelf) -> None:
    follower(shelf, begin_now=True).sweep(FakeServer())
    # What comes while nobody looks is behind that moment.
    follower(shelf, begin_now=True).sweep(FakeServer(1, 2))
    assert list(shelf.taken) == ["a:INBOX:7:1", "a:INBOX:7:2"]


def test_a_mailbox_that_was_made_anew_and_was_seen_empty_is_read_from_its_beginning(shelf: Shelf) -> None:
    follower(shelf).sweep(FakeServer(1, 2, 3))
    follower(shelf).sweep(FakeServer())
    follower(shelf).sweep(FakeServer(1, 2, 3, 4, 5))
    assert len(shelf.taken) == 8


def test_uids_that_do_not_last_name_nothing_in_the_next_session(shelf: Shelf) -> None:
    follower(shelf).sweep(FakeServer(1))
    first = FakeServer(1, 2, 3, sticky=False)
    first.cut_after = 2
    with pytest.raises(SourceUnavailable):
        follower(shelf).sweep(first)
    before = set(shelf.taken)
    follower(shelf).sweep(FakeServer(1, 2, 3, sticky=False))
    assert len(set(shelf.taken) - before) == 3, "the same UIDs may be other mails now"


def test_a_server_that_announces_something_at_each_look_does_not_keep_us_looking(shelf: Shelf) -> None:
    server = FakeServer(1, 2)
    looks = []

    def look() -> None:
        looks.append(1)
        server.news = True
        assert len(looks) < 10

    server.look = look  # type: ignore[method-assign]
    ours = follower(shelf)
    cursor, _ = ours.sweep(server)
    server.uids = (1, 2, 3)
    assert ours.news(server, cursor) == (Cursor(7, 3), 1)
    assert not server.news


def test_a_uidvalidity_that_comes_back_brings_what_was_left_aside(shelf: Shelf) -> None:
    shelf.at = Cursor(7, 5)
    shelf.accounts.put_quarantine(KEY, [Quarantined(7, 3, 1, time.time() + 3600, "refused")])
    other = FakeServer(1, 2, uid_validity=8)
    other.cut_after = 0
    with pytest.raises(SourceUnavailable):
        follower(shelf).sweep(other)
    follower(shelf).sweep(FakeServer(1, 2, 3, 4, 5))
    assert "a:INBOX:7:3" in shelf.taken
