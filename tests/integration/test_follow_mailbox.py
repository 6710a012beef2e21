"""A mailbox followed through what happens to mailboxes: poison, new UIDVALIDITY, UIDs given out again, moves.

Real Redis, a real connection to the simulator; all that is in the mailbox is appended once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest import config
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline import gate, producer, quarantine
from fastmail_ingest.pipeline.follower import FollowPlan
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.producer import Reach, Watcher, WatchPlan
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy import backoff
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.polling import PollPace
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.simulator import (
    Account,
    Corpus,
    Fault,
    Faults,
    ImapServer,
    Mailbox,
    ServerThread,
    Store,
    mail_of,
    preload,
)
from fastmail_ingest.simulator.faults import VARIANTS
from fastmail_ingest.simulator.link import Link
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.cursors import Cursors
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

KEY = MailboxKey("a", "INBOX")
POISONS = [
    (fault, variant)
    for fault in (Fault.NO_TO_FETCH, Fault.WRONG_SIZE, Fault.CUT_LITERAL)
    for variant in VARIANTS.get(fault, ("",))
]


class World:
    """A mail server, Redis, and what is in the stream."""

    def __init__(self, redis: RedisServer) -> None:
        self.faults = Faults(3, drip_s=0.02)
        self.account = Account("u", "p")
        self.mailbox = self.account.add(Mailbox("INBOX", uid_validity=7))
        self.server = ServerThread(ImapServer(Store([self.account]), faults=self.faults))
        self.link: ServerThread[Link] | None = None
        redis.client().flushdb()
        self.redis = redis.client()
        self.ledger = Ledger(redis.url, "", Arguments(Keys("fmi"), 90))
        self.ledger.make_groups()
        self._corpus = Corpus(5, 900)
        self._made = 0

    def add(self, count: int) -> None:
        self.server.call(lambda: preload(self.mailbox, self._corpus, count, self._made))
        self._made += count

    def remake(self, uid_validity: int, keep: int) -> None:
        """Delete the mailbox and make it anew with its last `keep` mails, as a restore would."""

        def change() -> None:
            old = self.mailbox
            self.mailbox = Mailbox("INBOX", uid_validity=uid_validity)
            for mail in old.mails[-keep:]:
                mail.uid = 0
                self.mailbox.append(mail)
            self.account.add(self.mailbox)

        self.server.call(change)

    def appended(self) -> list[codec.Envelope]:
        return [codec.decode(fields[b"m"]) for _, fields in self.redis.xrange("{fmi:0}:live")]

    def uids(self) -> list[int]:
        return sorted(envelope.uid for envelope in self.appended())

    def connect(self) -> Connection:
        port = self.link.port if self.link is not None else self.server.port
        account = config.Account(name="a", host="127.0.0.1", port=port, tls="off", user="u", password="p")
        return Connection(account, 0.5, 1 << 20)

    @contextmanager
    def followed(self, mailboxes: tuple[str, ...] = ("INBOX",), *, begin_now: bool = False) -> Iterator[None]:
        stopper = Stopper()
        tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, lambda reason: None)
        plan = TransferPlan(7, 1 << 20, Marks(1 << 30, 1 << 40, 1.0))
        transfer = Transfer(self.ledger, plan, stopper, tally, Outage())
        entrance = Gate("a", self.ledger.accounts, Terms(1, 0, lambda: ""), Ramp())
        watch = WatchPlan(
            PollPace(0.02, 0.1), FollowPlan(30, begin_now), idle=True, once=False, timeout_s=0.5
        )
        keys = [MailboxKey("a", mailbox) for mailbox in mailboxes]
        watcher = Watcher(keys, Reach(self.connect, entrance), transfer, watch, stopper, tally)
        thread = threading.Thread(target=watcher.run)
        thread.start()
        try:
            yield
        finally:
            stopper.stop()
            thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def world(redis_server: RedisServer) -> Iterator[World]:
    made = World(redis_server)
    with made.server:
        yield made
    made.ledger.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "RECONNECT", Backoff(0.05, 1.0, 0.05, 0.0))
    monkeypatch.setattr(gate, "BREAKER_RECOVERY_S", 0.05)
    monkeypatch.setattr(producer, "_AFTER_REFUSAL_S", 0.05)


@pytest.fixture
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "QUARANTINED", Backoff(0.05, 1.0, 0.05, 0.0))


@pytest.mark.parametrize(("fault", "variant"), POISONS, ids=[f"{f.name} {v}".strip() for f, v in POISONS])
def test_a_mail_that_its_server_does_not_give_out_keeps_nobody_back(
    world: World, fault: Fault, variant: str
) -> None:
    world.add(40)
    world.faults.poison("INBOX", 17, fault, variant)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 39, "all but one are appended", 60)
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 40, "the cursor is behind them")
        world.add(3)
        wait_until(lambda: len(world.uids()) == 42, "and so are those that come later")
    assert world.uids() == [uid for uid in range(1, 44) if uid != 17]
    (left,) = world.ledger.accounts.quarantine(KEY)
    assert (left.uid, left.uid_validity, left.tries) == (17, 7, 1)


@pytest.mark.usefixtures("soon_again")
def test_a_mail_in_quarantine_is_tried_again_and_comes_out(world: World) -> None:
    world.add(20)
    world.faults.poison("INBOX", 20, Fault.NO_TO_FETCH)
    world.faults.poison("INBOX", 5, Fault.WRONG_SIZE, "endless")
    with world.followed():
        wait_until(lambda: len(world.uids()) == 18, "all but two are appended", 60)
        wait_until(
            lambda: any(mail.tries > 2 for mail in world.ledger.accounts.quarantine(KEY)), "tried again"
        )
        world.faults.heal()
        wait_until(lambda: len(world.uids()) == 20, "they are appended, too")
        wait_until(lambda: not world.ledger.accounts.quarantine(KEY), "nobody is left in quarantine")
    assert world.uids() == list(range(1, 21))
    assert world.ledger.cursor(KEY).last_uid == 20


def test_a_mailbox_that_gives_out_nothing_does_not_end_in_quarantine(world: World) -> None:
    world.add(60)
    for uid in range(1, 61):
        world.faults.poison("INBOX", uid, Fault.NO_TO_FETCH, "at once")
    with world.followed():
        wait_until(lambda: world.faults.struck[Fault.NO_TO_FETCH] > 50, "it refused often", 60)
        assert len(world.ledger.accounts.quarantine(KEY)) <= quarantine.IN_A_ROW_MAX
        world.faults.heal()
        wait_until(lambda: len(world.uids()) >= 50, "it goes on when the server does", 60)


def test_another_uidvalidity_while_we_idle_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "REOPEN_S", 0.1)
    world.add(30)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 30, "all are appended")
        world.remake(uid_validity=8, keep=10)
        world.add(5)
        wait_until(lambda: len(world.uids()) == 35, "the new ones are appended")
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 15, "the cursor is behind them")
    assert len({envelope.content_hash for envelope in world.appended()}) == 35
    assert world.ledger.cursor(KEY).uid_validity == 8


@pytest.mark.usefixtures("soon_again")
def test_a_mail_in_quarantine_while_its_mailbox_is_read_anew_is_known_when_it_comes_out(world: World) -> None:
    world.add(30)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 30, "all are appended")
    world.remake(uid_validity=8, keep=30)
    world.faults.poison("INBOX", 17, Fault.NO_TO_FETCH)
    with world.followed():
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 30, "all but one are read anew")
        world.add(1)
        wait_until(lambda: len(world.uids()) == 31, "reading anew is over")
        assert [mail.uid for mail in world.ledger.accounts.quarantine(KEY)] == [17]
        world.faults.heal()
        wait_until(lambda: not world.ledger.accounts.quarantine(KEY), "it comes out of quarantine")
    assert len(world.appended()) == 31


def test_uids_that_are_given_out_again_without_a_word_name_other_mails(world: World) -> None:
    world.add(30)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 30, "all are appended")
    world.remake(uid_validity=7, keep=10)
    world.add(5)  # UIDs 11 to 15, which named other mails before
    with world.followed():
        wait_until(lambda: len(world.uids()) == 35, "the new ones are appended")
        world.add(5)
        wait_until(lambda: len(world.uids()) == 40, "and those that come later")
    envelopes = world.appended()
    assert (
        len({envelope.content_hash for envelope in envelopes})
        == len({envelope.id for envelope in envelopes})
        == 40
    )
    assert {envelope.uid_validity for envelope in envelopes} == {7}


def test_a_mail_with_three_labels_is_one_mail_whatever_order_its_folders_are_read_in(world: World) -> None:
    world.account.gmail = True
    work, everything = (
        world.server.call(lambda name=name, use=use: world.account.add(Mailbox(name, uid_validity=3, special_use=use)))
        for name, use in (("Work", ""), ("[Gmail]/Alle Nachrichten", "\\All"))
    )  # fmt: skip
    raw = b"Subject: once\r\n\r\n"

    def file() -> None:
        for number in range(10):
            for mailbox in (world.mailbox, work, everything):
                mail = mail_of(raw + b"%d\r\n" % number)
                mail.gm_msgid, mail.labels = 1 << 60 | number, ("\\Inbox", "Work", "Gr&APwA3w-e")
                mailbox.append(mail)

    world.server.call(file)
    with world.followed(("\\All", "INBOX", "Work")):
        wait_until(
            lambda: all(world.ledger.accounts.fresh([MailboxKey("a", "Work")])), "the last one is read"
        )
    envelopes = world.appended()
    assert len(envelopes) == 10
    assert {envelope.mailbox for envelope in envelopes} == {"\\All"}
    assert {envelope.labels for envelope in envelopes} == {("\\Inbox", "Work", "Grüße")}
    assert {envelope.id.rpartition(":")[0] for envelope in envelopes} == {"a:gm"}


def test_a_folder_of_a_suspicious_size_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.account.gmail = True
    world.add(1000)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 1000, "all are appended")
    assert "has exactly 1000 mails" in caplog.text
    assert "lift the limit" in caplog.text


def test_a_use_that_no_mailbox_has_is_told_with_those_that_there_are(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.followed(("\\Junk", "INBOX")):
        wait_until(lambda: all(world.ledger.accounts.fresh([KEY])), "the other one is read")
        (refused, _) = world.ledger.accounts.refusals([MailboxKey("a", "\\Junk"), KEY])
    assert "the server marks no mailbox as \\Junk. remedy: name it by its own name: INBOX" in caplog.text
    assert refused is not None
    assert refused.reason in caplog.text


def test_a_mailbox_that_is_not_opened_is_told_until_it_is(world: World) -> None:
    work = MailboxKey("a", "Work")
    with world.followed(("INBOX", "Work")):
        wait_until(lambda: world.ledger.accounts.refusals([work])[0], "that it is not opened is written down")
        world.server.call(lambda: world.account.add(Mailbox("Work", uid_validity=8)))
        wait_until(lambda: not world.ledger.accounts.refusals([work])[0], "it is served")
    (refused,) = world.ledger.accounts.refusals([KEY])
    assert refused is None


def test_start_now_leaves_alone_what_is_there_and_loses_nothing_from_then_on(world: World) -> None:
    world.add(30)
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 30, "the cursor is behind what is there")
    world.add(4)  # while nobody looks
    with world.followed(begin_now=True):
        wait_until(lambda: len(world.uids()) == 4, "what came meanwhile is appended")
    assert world.uids() == [31, 32, 33, 34]


LONG_AGO_S = 1_600_000_000.0


def begun_now(world: World, old: int) -> list[int]:
    """Begin behind `old` mails, take 4 more that came since, and return their UIDs."""
    world.add(old)
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == old, "the cursor is behind what is there")
        world.add(4)
        wait_until(lambda: len(world.uids()) == 4, "what comes is appended")
    for mail in world.mailbox.mails[:old]:
        mail.internal_date = LONG_AGO_S
    for mail in world.mailbox.mails[old:]:
        mail.internal_date = time.time()
    return world.uids()


def test_a_cursor_that_goes_back_by_itself_stops_where_the_mailbox_began(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wanted = begun_now(world, 30)
    world.redis.hset("{fmi:0}:cursor:a:INBOX", "last_uid", 0)  # as reconcile does for a lost mail of Gmail
    world.redis.delete("{fmi:0}:live", "{fmi:0}:queued")
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY) == Cursor(7, 34), "it is read anew")
    assert world.uids() == wanted
    assert "up to UID 30 stays left alone" in caplog.text


@pytest.mark.parametrize("uid_validity", [8, 7], ids=["another UIDVALIDITY", "UIDs given out again"])
def test_what_was_left_alone_stays_so_when_the_mailbox_is_read_anew(
    world: World, uid_validity: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wanted = begun_now(world, 30)
    world.remake(uid_validity, keep=14)  # ten old ones, and four that are known
    world.add(3)
    recent, moved_in = world.mailbox.mails[-2:]
    # What came while nobody looked has its own date; what is known is known whatever its date.
    recent.internal_date = moved_in.internal_date = world.mailbox.mails[-3].internal_date = time.time()
    world.mailbox.mails[10].internal_date = LONG_AGO_S
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 17, "it is read anew")
    assert world.uids() == sorted([*wanted, 15, 16, 17])
    assert "10 mails from before it began stay left alone" in caplog.text
    assert "are left alone (start = now)" in caplog.text
    # From now on that is exact again.
    began = world.ledger.beginning(KEY)
    assert (began.uid_validity & 0xFFFF_FFFF, began.last_uid) == (uid_validity, 10)
    world.redis.hset("{fmi:0}:cursor:a:INBOX", "last_uid", 0)
    with world.followed(begin_now=True):
        world.add(1)  # an old mail that was moved in
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 18, "it is read anew")
    assert world.uids() == sorted([*wanted, 15, 16, 17, 18])


def test_a_mailbox_read_anew_in_which_all_is_old_begins_behind_it(world: World) -> None:
    begun_now(world, 30)
    world.remake(8, keep=34)
    world.server.call(lambda: [world.mailbox.expunge(uid) for uid in range(31, 35)])
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY).last_uid >= 30, "it is read anew")
    assert len(world.uids()) == 4
    assert world.ledger.beginning(KEY).last_uid >= 25


def test_an_operator_who_goes_back_reads_what_was_left_alone(world: World, redis_server: RedisServer) -> None:
    begun_now(world, 30)
    with Cursors(redis_server.url, "", Arguments(Keys("fmi"), 90)) as cursors:
        cursors.put_back(KEY, 32)
        assert world.ledger.beginning(KEY).last_uid == 30
        assert cursors.put_back(KEY, 10) == Cursor(7, 32)
    with world.followed(begin_now=True):
        wait_until(lambda: world.ledger.cursor(KEY).last_uid == 34, "it is read anew")
    assert world.uids() == list(range(11, 35))


def test_mailboxes_that_share_a_connection_are_opened_only_when_there_is_news(world: World) -> None:
    names = [f"box{number}" for number in range(12)]
    boxes = world.server.call(lambda: [world.account.add(Mailbox(name, uid_validity=3)) for name in names])
    corpus = Corpus(9, 900)

    def put(number: int, count: int) -> Callable[[], None]:
        return lambda: preload(boxes[number], corpus, count, 1000 * number + len(boxes[number]))

    for number in range(12):
        world.server.call(put(number, 2))
    with world.followed(tuple(names)):
        wait_until(lambda: len(world.appended()) == 24, "all are appended")
        assert len(world.server.call(lambda: list(world.server.server.sessions))) == 1
        world.server.call(put(7, 3))
        wait_until(lambda: len(world.appended()) == 27, "news of one mailbox are appended")
        wait_until(
            lambda: all(world.ledger.accounts.fresh([MailboxKey("a", name) for name in names])),
            "all are fresh",
        )


@pytest.fixture
def link(world: World) -> Iterator[ServerThread[Link]]:
    """A line between us and the mail server that can break."""
    with ServerThread(Link(world.server.port)) as line:
        world.link = line
        yield line


def test_a_nat_that_forgets_us_while_we_idle_costs_no_mail(world: World, link: ServerThread[Link]) -> None:
    world.add(5)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 5, "all are appended")
        for round_ in range(2):
            link.call(link.server.forget)  # no reset, no end: nothing will ever come over it again
            world.add(3)
            wait_until(lambda round_=round_: len(world.uids()) == 8 + 3 * round_, "what came is appended")
    assert link.server.accepted >= 3


def test_a_sleep_of_the_whole_machine_is_survived(world: World, link: ServerThread[Link]) -> None:
    world.add(5)
    with world.followed():
        wait_until(lambda: len(world.uids()) == 5, "all are appended")
        link.call(lambda: setattr(link.server, "black_hole", True))
        world.add(3)
        accepted = link.server.accepted
        wait_until(lambda: link.server.accepted > accepted + 1, "it has tried again, in vain")
        link.call(lambda: setattr(link.server, "black_hole", False))
        wait_until(lambda: len(world.uids()) == 8, "what came is appended")


def test_a_line_that_is_cut_again_and_again_costs_no_mail(world: World, link: ServerThread[Link]) -> None:
    with world.followed():
        for round_ in range(5):
            world.add(20)
            wait_until(lambda round_=round_: len(world.uids()) > 20 * round_, "some are appended")
            link.call(link.server.cut)
        wait_until(lambda: len(world.uids()) == 100, "all are appended")
    assert world.uids() == list(range(1, 101))


def test_freshness_goes_on_while_nothing_comes(world: World) -> None:
    with world.followed():
        first = wait_until(lambda: world.ledger.accounts.fresh([KEY])[0], "the mailbox is fresh")
        wait_until(lambda: world.ledger.accounts.fresh([KEY])[0] > first, "and is proved so again")
