"""An import over IMAP and the gate of its account."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from support.fake_mailbox import FakeServer, Shelf
from support.waiting import wait_until

from fastmail_ingest.errors import LimitReached, LoginRefused, TokenRefused
from fastmail_ingest.model.account_state import AccountState
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline import history, shared_books
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.history import History, HistoryPlan, Surroundings
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.policy.uidplan import Window

KEY = MailboxKey("a", "INBOX")


class Past:
    """An account, two old mails of it, and what is heard while they are fetched."""

    def __init__(self, daily_bytes: int = 0) -> None:
        self.shelf = Shelf()
        self.stopper = Stopper()
        self.waits: list[str] = []
        self.gate = Gate("a", self.shelf.accounts, Terms(1, daily_bytes, lambda: "me"), Ramp())
        self.troubles: list[Exception] = []  # of the next connects

    def connect(self) -> FakeServer:
        if self.troubles:
            raise self.troubles.pop(0)
        return FakeServer(1, 2)

    def run(self) -> None:
        tally = Tally(lambda: None, lambda mails, size: None, lambda new: None, lambda reason: None)
        plan = TransferPlan(7, 1 << 20, Marks(9, 1 << 40, 1.0))
        transfer = Transfer(self.shelf, plan, self.stopper, tally, Outage())
        around = Surroundings(
            connect=self.connect, chosen=lambda uids: Window(uids[0], uids[-1]), gate=self.gate,
            progress=lambda mails, size: None, problem=lambda text: None, waiting=self.waits.append,
        )  # fmt: skip
        History(HistoryPlan(KEY, 7, [1, 2]), transfer, self.stopper, around).run()

    @contextmanager
    def running(self) -> Iterator[None]:
        def work() -> None:
            with suppress(Stopped):
                self.run()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
            thread.join(30)
        finally:
            self.stopper.stop()
            thread.join(30)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "NAP_S", 0.01)
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)


@pytest.mark.parametrize(("error", "tries"), [(LoginRefused("no"), 1), (TokenRefused("expired"), 2)])
def test_a_refused_login_is_told_to_all_and_a_token_renewed_once(error: LoginRefused, tries: int) -> None:
    past = Past()
    past.troubles = [error] * 5
    with pytest.raises(LoginRefused):
        past.run()
    assert len(past.troubles) == 5 - tries
    assert past.shelf.accounts.state("a").standing == "suspended"


@pytest.mark.usefixtures("brisk")
def test_an_account_that_others_have_opened_is_gone_to_without_the_whole_rest() -> None:
    past = Past()
    past.troubles = [LimitReached("bandwidth")]
    with past.running():
        wait_until(lambda: any("bandwidth" in reason for reason in past.waits), "it waits")
        past.shelf.accounts.put_state("a", AccountState())
        wait_until(lambda: len(past.shelf.taken) == 2, "it goes on")


@pytest.mark.usefixtures("brisk")
def test_our_share_of_the_bytes_is_waited_for_and_is_no_matter_of_the_account() -> None:
    past = Past(daily_bytes=10)
    past.shelf.accounts.spend("a", 10, 1)
    with past.running():
        wait_until(lambda: any("daily_bytes" in reason for reason in past.waits), "it waits")
        assert past.shelf.accounts.state("a").standing == "ok"
        past.shelf.accounts.forget_spent()
        wait_until(lambda: len(past.shelf.taken) == 2, "it goes on")
    assert past.waits[-1] == ""
