"""A watcher and its gate: turns where connections are short, and what --once does in trouble."""

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from support.fake_mailbox import FakeServer, Shelf
from support.waiting import wait_until

from fastmail_ingest.errors import LimitReached, LoginRefused, ServerBusy
from fastmail_ingest.model.account_state import AccountState
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey
from fastmail_ingest.pipeline import gate, producer, shared_books
from fastmail_ingest.pipeline.follower import FollowPlan
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.producer import Reach, Watcher, WatchPlan
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy import backoff, polling
from fastmail_ingest.policy import width as widths
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.polling import PollPace
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window

KEY = MailboxKey("a", "INBOX")


class House:
    """One account: its gate, a mailbox, and what watchers have given up at."""

    def __init__(self, shelf: Shelf | None = None, daily_bytes: int = 0) -> None:
        self.shelf = shelf or Shelf()
        self.server = FakeServer(*range(1, 41))
        self.stopper = Stopper()
        self.failures: list[str] = []
        self.gate = Gate("a", self.shelf.accounts, Terms(1, daily_bytes, lambda: "me"), Ramp())
        self.troubles: list[Exception] = []  # of the next connects
        self.plan = WatchPlan(PollPace(0.01, 0.05), FollowPlan(4000), idle=False, once=True, timeout_s=5.0)

    def connect(self) -> FakeServer:
        if self.troubles:
            raise self.troubles.pop(0)
        return self.server

    def watcher(self, key: MailboxKey = KEY, *, once: bool = True) -> Watcher:
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        tally = Tally(lambda: None, nothing, nothing, self.failures.append)
        marks = Marks(1 << 30, 1 << 40, 1.0)
        transfer = Transfer(self.shelf, TransferPlan(7, 1 << 20, marks), self.stopper, tally, Outage())
        plan = replace(self.plan, once=once)
        return Watcher([key], Reach(self.connect, self.gate), transfer, plan, self.stopper, tally)

    @contextmanager
    def watching(self, *keys: MailboxKey) -> Iterator[None]:
        threads = [threading.Thread(target=self.watcher(key, once=False).run) for key in keys]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopper.stop()
            for thread in threads:
                thread.join(30)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "RECONNECT", Backoff(0.01, 1.0, 0.01, 0.0))


def test_where_connections_are_short_each_has_its_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "ROUND_S", 0.0)
    monkeypatch.setattr(gate, "RAMP_S", 0.0)
    keys = [KEY, MailboxKey("a", "Work")]
    with house.watching(*keys):
        wait_until(lambda: all(house.shelf.accounts.fresh(keys)), "both are fresh")
        before = house.shelf.accounts.fresh(keys)
        wait_until(
            lambda: all(
                now > then for now, then in zip(house.shelf.accounts.fresh(keys), before, strict=True)
            ),
            "and once more",
        )


@pytest.mark.parametrize("standing", ["resting", "suspended"])
def test_to_ask_an_account_that_is_left_alone_does_not_make_it_rest_for_longer(
    house: House, standing: str
) -> None:
    shut = AccountState(standing, time.time() + 3600, 3, "used up", time.time(), "me")  # type: ignore[arg-type]
    house.shelf.accounts.put_state("a", shut)
    for _ in range(3):
        house.watcher().run()
    assert house.shelf.accounts.state("a") == shut
    assert len(house.failures) == 3
    assert "left alone" in house.failures[0]
    assert "used up" in house.failures[0]


@pytest.mark.usefixtures("impatient")
def test_with_once_a_mail_that_breaks_the_connection_keeps_nobody_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BREAKER_FAILURES", 1000)
    house.server.poison = {1}
    house.gate = Gate("a", house.shelf.accounts, Terms(1, 0, lambda: "me"), Ramp())
    house.watcher().run()
    assert len(house.shelf.taken) == 39
    assert house.failures == []
    assert [mail.uid for mail in house.shelf.accounts.quarantine(KEY)] == [1]


@pytest.mark.usefixtures("impatient")
def test_what_came_before_a_connection_broke_is_booked_too(house: House) -> None:
    house.server.poison = {40}
    house.watcher().run()
    assert house.server.given > 39, "some came twice"
    assert sum(house.shelf.accounts.spent("a").values()) == house.server.given


def test_with_once_a_cursor_that_is_moved_meanwhile_is_followed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.shelf.at = Cursor(7, 20)
    fetch = house.server.fetch

    def moved_back(window: Window, _then: Window | None) -> Iterator[Fetched]:
        monkeypatch.setattr(house.server, "fetch", fetch)
        house.shelf.at = Cursor(7, 0)
        return fetch(window)

    monkeypatch.setattr(house.server, "fetch", moved_back)
    house.watcher().run()
    assert len(house.shelf.taken) == 40
    assert house.shelf.at == Cursor(7, 40)


def test_raised_daily_bytes_count_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths, "FIRST", 10)
    tight = House(house.shelf, daily_bytes=5)
    tight.watcher().run()
    assert "left alone" in tight.failures[0]
    assert "daily_bytes" in tight.failures[0]
    assert 5 <= len(house.shelf.taken) < 40
    assert house.shelf.accounts.state("a").standing == "ok"
    House(house.shelf, daily_bytes=1000).watcher().run()
    assert len(house.shelf.taken) == 40


def test_bytes_that_are_free_again_end_the_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "NAP_S", 0.01)
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)
    house = House(house.shelf, daily_bytes=30)
    house.shelf.accounts.spend("a", 30, 1)
    with house.watching(KEY):
        wait_until(lambda: "daily_bytes" in house.gate.reason, "it waits")
        house.shelf.accounts.forget_spent()
        wait_until(lambda: len(house.shelf.taken) >= 30, "it goes on")


def test_an_account_that_others_have_opened_is_gone_to_without_the_whole_rest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "NAP_S", 0.01)
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)
    house.troubles = [LimitReached("bandwidth")]
    with house.watching(KEY):
        wait_until(lambda: house.shelf.accounts.state("a").standing == "resting", "it rests")
        house.shelf.accounts.put_state("a", AccountState())
        wait_until(lambda: len(house.shelf.taken) == 40, "it goes on")


def test_a_wrong_password_is_tried_once_however_many_mailboxes_there_are(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "RAMP_S", 0.0)
    house.gate = Gate("a", house.shelf.accounts, Terms(3, 0, lambda: "me"), Ramp())
    asked, tried, try_enter = [], [], house.gate.try_enter

    def ask() -> float:
        asked.append(threading.get_ident())
        return try_enter()

    def connect() -> FakeServer:
        tried.append(threading.get_ident())
        wait_until(lambda: len(set(asked)) == 3 and len(asked) > 6, "all have asked to come in")
        raise LoginRefused("wrong")

    monkeypatch.setattr(house.gate, "try_enter", ask)
    monkeypatch.setattr(house, "connect", connect)
    with house.watching(*(MailboxKey("a", name) for name in ("INBOX", "Work", "Sent"))):
        wait_until(lambda: house.gate.shut, "the account is suspended")
    assert len(tried) == 1


def test_a_server_that_is_busy_after_each_window_is_asked_less_and_less(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.server = FakeServer(*range(1, 3001))
    fetch, fetched, failures = house.server.fetch, [], []

    def every_other(window: Window, _then: Window | None) -> Iterator[Fetched]:
        fetched.append(window)
        if len(fetched) % 2 == 0:
            raise ServerBusy("[THROTTLED] slow down")
        return fetch(window)

    def failed(_error: Exception, count: int) -> float:
        failures.append(count)
        house.gate.logged_in()
        return 0.0

    monkeypatch.setattr(house.server, "fetch", every_other)
    monkeypatch.setattr(house.gate, "failed", failed)
    house.watcher().run()
    assert len(house.shelf.taken) == 3000
    assert len(failures) > 1
    assert failures == list(range(1, len(failures) + 1))


class IdleServer(FakeServer):
    """It notes how long each IDLE was to last."""

    can_idle = True

    def __init__(self, *uids: int) -> None:
        super().__init__(*uids)
        self.asked: list[float] = []

    def wait(self, timeout_s: float, wake_fd: int) -> None:
        self.asked.append(timeout_s)
        select.select([wake_fd], [], [], timeout_s)


def test_in_idle_the_server_is_asked_for_a_sign_of_life(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "PROBE_S", 0.01)
    house.server = server = IdleServer(*range(1, 41))
    looks: list[int] = []
    monkeypatch.setattr(server, "look", lambda: looks.append(len(server.asked)))
    house.plan = replace(house.plan, idle=True, pace=PollPace(0.01, 0.1))
    with house.watching(KEY):
        wait_until(lambda: len(looks) > 2, "it looks for mail between")
    assert max(server.asked) <= 0.01
    assert looks[1] - looks[0] > 1, "IDLE was begun anew without a look at the mailbox"
