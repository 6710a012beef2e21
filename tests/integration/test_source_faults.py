"""The real connection, and the real watcher, against a mail server that fails in each way there is.

Whatever strikes: what is still in the mailbox arrives, once, with the right bytes.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from support.books import MemoryBooks
from support.waiting import wait_until

from fastmail_ingest import config
from fastmail_ingest.errors import MailboxRefused, ProtocolError, SourceUnavailable
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey
from fastmail_ingest.model.pressure import RedisMemory
from fastmail_ingest.pipeline.follower import FollowPlan
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.producer import Reach, Watcher, WatchPlan
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.polling import PollPace
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.simulator import (
    Account,
    Corpus,
    Fault,
    Faults,
    ImapServer,
    Mailbox,
    ServerThread,
    Store,
    preload,
)
from fastmail_ingest.simulator.faults import VARIANTS
from fastmail_ingest.source.mailbox import Connection

KEY = MailboxKey("a", "INBOX")
MAILS = 40
TIMEOUT_S = 0.4
WAYS = [(fault, variant) for fault in Fault for variant in VARIANTS.get(fault, ("",))]
named = pytest.mark.parametrize(
    ("fault", "variant"), WAYS, ids=[f"{fault.name} {variant}".strip() for fault, variant in WAYS]
)


class Faulty:
    """A simulated mailbox of small and large mails, on a server with faults."""

    def __init__(self, seed: int = 11, rate: float = 0.0) -> None:
        self.faults = Faults(seed, rate, drip_s=0.02)
        self.mailbox = Mailbox("INBOX", uid_validity=7)
        account = Account("u", "p")
        account.add(self.mailbox)
        self.server = ServerThread(ImapServer(Store([account]), faults=self.faults))
        self._corpus = Corpus(5, mean_bytes=4000)
        preload(self.mailbox, self._corpus, MAILS)

    def connect(self, timeout_s: float = TIMEOUT_S) -> Connection:
        account = config.Account(
            name="a", host="127.0.0.1", port=self.server.port, tls="off", user="u", password="p"
        )
        return Connection(account, timeout_s, 1 << 20)

    def add(self, count: int) -> None:
        first = self.mailbox.uid_next - 1
        self.server.call(lambda: preload(self.mailbox, self._corpus, count, first))

    def there(self) -> dict[int, bytes]:
        """What is in the mailbox now."""
        return self.server.call(lambda: {mail.uid: b"".join(mail.render()) for mail in self.mailbox.mails})


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    made = Faulty()
    with made.server:
        yield made


def patience_s(fault: Fault, variant: str) -> float:
    """Short only where nothing but the deadline ends it: a busy machine is no faulty server."""
    return TIMEOUT_S if fault is Fault.HALF_OPEN or variant in ("drip", "endless") else 10.0


# --- one connection


@named
def test_a_fetch_gives_only_mails_that_are_there(faulty: Faulty, fault: Fault, variant: str) -> None:
    before = faulty.there()
    with closing(faulty.connect(patience_s(fault, variant))) as source:
        state = source.examine("INBOX")
        faulty.faults.arm(fault, variant=variant)
        got: dict[int, bytes | None] = {}
        try:
            if fault is Fault.STUCK_IDLE:
                source.wait(0.0, os.eventfd(0))
            for mail in source.fetch(Window(1, state.uid_next - 1)):
                assert mail.uid not in got
                got[mail.uid] = mail.raw
        except (SourceUnavailable, ProtocolError):
            assert len(got) < MAILS
        else:
            assert got == faulty.there()
    assert faulty.faults.struck == {fault: 1}
    assert got.items() <= before.items()


IDLE_WAYS = [
    (Fault.BYE, ""), (Fault.THROTTLE, "no"), (Fault.THROTTLE, "bye"), (Fault.THROTTLE, "drip"),
    (Fault.HALF_OPEN, ""), (Fault.DROP_ON_COMMAND, ""),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "variant"), IDLE_WAYS)
def test_a_fault_while_idling_is_the_servers_absence(faulty: Faulty, fault: Fault, variant: str) -> None:
    with closing(faulty.connect(patience_s(fault, variant))) as source:
        source.examine("INBOX")
        faulty.faults.arm(fault, variant=variant)
        with pytest.raises(SourceUnavailable):
            source.wait(0.0 if fault is Fault.HALF_OPEN else 60.0, os.eventfd(0))


COMMANDS: dict[str, Callable[[Connection], object]] = {
    "examine": lambda source: source.examine("INBOX"),
    "look": lambda source: source.look(),
    "search": lambda source: source.uids_above(0),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("fault", "variant"),
    [(Fault.THROTTLE, "no"), (Fault.THROTTLE, "bye"), (Fault.THROTTLE, "drip"), (Fault.HALF_OPEN, ""),
     (Fault.DROP_ON_COMMAND, "")]
)  # fmt: skip
def test_a_fault_at_any_command_is_the_servers_absence(
    faulty: Faulty, command: str, fault: Fault, variant: str
) -> None:
    with closing(faulty.connect(patience_s(fault, variant))) as source:
        source.examine("INBOX")
        faulty.faults.arm(fault, variant=variant)
        with pytest.raises(SourceUnavailable) as raised:
            COMMANDS[command](source)
        assert not isinstance(raised.value, MailboxRefused)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("fault", "variant"),
    [(Fault.THROTTLE, "no"), (Fault.THROTTLE, "bye"), (Fault.HALF_OPEN, ""), (Fault.DROP_ON_COMMAND, "")],
)
def test_a_login_that_is_put_off_is_no_wrong_password(
    faulty: Faulty, fault: Fault, variant: str, after: int
) -> None:
    """A connection begins with CAPABILITY and LOGIN."""
    faulty.faults.arm(fault, 1, variant, after)
    with pytest.raises((SourceUnavailable, ProtocolError)):  # neither of them is a LoginRefused
        faulty.connect(patience_s(fault, variant))
    assert faulty.faults.struck == {fault: 1}


# --- the whole way into the stream


class Shelf:
    """An intake that remembers: what came first under each identity, and the cursor."""

    unavailable = ()

    def __init__(self) -> None:
        self.accounts = MemoryBooks()
        self.raws: dict[int, bytes] = {}
        self.new: Counter[int] = Counter()
        self.differing: list[int] = []
        self._cursor = Cursor()
        self._identities: set[str] = set()

    def cursor(self, _key: MailboxKey) -> Cursor:
        return self._cursor

    def beginning(self, _key: MailboxKey) -> Beginning:
        return Beginning()

    def append(self, append: Append) -> Appended:
        new = 0
        for mail in append.mails:
            envelope = codec.decode(mail.payload)
            if mail.identity in self._identities:
                if self.raws[envelope.uid] != envelope.raw:
                    self.differing.append(envelope.uid)
                continue
            self._identities.add(mail.identity)
            self.raws[envelope.uid] = envelope.raw
            self.new[envelope.uid] += 1
            new += 1
        self._cursor = append.cursor
        return Appended(new=new, waiting=0, size=0, in_place=True)

    def waiting(self) -> tuple[int, int]:
        return 0, 0

    def memory(self) -> RedisMemory:
        return RedisMemory(0, 0)


@contextmanager
def watching(faulty: Faulty, shelf: Shelf, *, idle: bool = True) -> Iterator[list[str]]:
    """A watcher at work; what it yields are the failures that it has given up at, none expected."""
    stopper = Stopper()
    failures: list[str] = []
    tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, failures.append)
    transfer = Transfer(
        shelf, TransferPlan(7, 1 << 20, Marks(1 << 30, 1 << 40, 1.0)), stopper, tally, Outage()
    )
    plan = WatchPlan(PollPace(0.02, 0.1), FollowPlan(10), idle=idle, once=False, timeout_s=TIMEOUT_S)
    gate = Gate("a", shelf.accounts, Terms(1, 0, lambda: ""), Ramp())
    watcher = Watcher([KEY], Reach(faulty.connect, gate), transfer, plan, stopper, tally)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield failures
    finally:
        stopper.stop()
        thread.join(30)
    assert not thread.is_alive()


def expect_all(faulty: Faulty, shelf: Shelf) -> None:
    """All that is in the mailbox has arrived, and nothing else but what was there once."""
    wait_until(lambda: faulty.there().items() <= shelf.raws.items(), "all mails have arrived", 60)
    assert shelf.differing == []
    assert set(shelf.new.values()) == {1}
    gone = {uid for _, uid in faulty.faults.expunged}
    assert shelf.raws.keys() == faulty.there().keys()
    assert not gone & shelf.raws.keys(), "what was expunged had never been sent"


@named
def test_each_fault_costs_a_second_try_and_no_mail(faulty: Faulty, fault: Fault, variant: str) -> None:
    shelf = Shelf()
    faulty.faults.arm(fault, 2, variant)
    with watching(faulty, shelf) as failures:
        wait_until(lambda: faulty.faults.struck[fault] >= 1, "the fault has struck")
        faulty.add(10)
        wait_until(lambda: not faulty.faults.armed, "and once more")
        expect_all(faulty, shelf)
    assert failures == []


@pytest.mark.parametrize("idle", [True, False])
def test_news_arrive_after_faults_while_waiting(faulty: Faulty, idle: bool) -> None:
    shelf = Shelf()
    with watching(faulty, shelf, idle=idle):
        expect_all(faulty, shelf)
        for fault in (Fault.STUCK_IDLE, Fault.BYE) if idle else (Fault.HALF_OPEN, Fault.DROP_ON_COMMAND):
            faulty.faults.arm(fault)
            wait_until(lambda: not faulty.faults.armed, "the fault has struck")
            faulty.add(3)
            expect_all(faulty, shelf)


@pytest.mark.parametrize("seed", [1, 2])
def test_all_faults_by_chance(seed: int) -> None:
    faulty, shelf = Faulty(seed, 0.12), Shelf()
    with faulty.server, watching(faulty, shelf):
        for _ in range(3):
            faulty.add(20)
            count = faulty.faults.struck.total() + 3
            wait_until(lambda count=count: faulty.faults.struck.total() >= count, "three more faults")
        faulty.faults.quiet()
        expect_all(faulty, shelf)
