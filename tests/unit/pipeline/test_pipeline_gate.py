"""The gate before an account: who may enter, who has to wait, and what others are told."""

import time

import pytest
from support.books import MemoryBooks

from fastmail_ingest.errors import (
    BudgetSpent,
    FastmailIngestError,
    GrantRevoked,
    LimitReached,
    LoginRefused,
    ProtocolError,
    ServerBusy,
    SourceUnavailable,
    TokenRefused,
    TooManyConnections,
)
from fastmail_ingest.model.account_state import AccountState, Standing
from fastmail_ingest.pipeline import gate as gates
from fastmail_ingest.pipeline import shared_books
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms


class NoRamp(Ramp):
    def wait_s(self, now: float) -> float:
        return 0.0


class Desk:
    """A gate, its books, and a credential that can be changed."""

    def __init__(self, slots: int = 2, daily_bytes: int = 0, books: MemoryBooks | None = None) -> None:
        self.books = books or MemoryBooks()
        self.credentials = "one"
        self.gate = Gate("a", self.books, Terms(slots, daily_bytes, lambda: self.credentials), NoRamp())

    def enter(self) -> float:
        """As one who is let in and logs in at once."""
        wait_s = self.gate.try_enter()
        if not wait_s:
            self.gate.logged_in()
        return wait_s

    @property
    def state(self) -> AccountState:
        return self.books.state("a")


def test_so_many_may_enter_as_there_are_slots() -> None:
    desk = Desk(slots=2)
    assert [desk.enter() for _ in range(2)] == [0.0, 0.0]
    assert not desk.gate.crowded()
    assert desk.enter() > 0
    assert desk.gate.crowded()
    desk.gate.leave()
    assert desk.enter() == 0.0


def test_connects_to_one_host_are_spread() -> None:
    ramp = Ramp()
    assert ramp.wait_s(100.0) == 0.0
    assert ramp.wait_s(100.0) == pytest.approx(gates.RAMP_S)
    assert ramp.wait_s(100.0 + gates.RAMP_S) == 0.0


@pytest.mark.parametrize(
    ("error", "standing", "longest_s"),
    [
        (LoginRefused("no"), "suspended", 360.0),
        (GrantRevoked("revoked"), "suspended", 6.0),
        (LimitReached("bandwidth"), "resting", 720.0),
        (LimitReached("budget", 5000.0), "resting", 5500.0),
        (SourceUnavailable("Suggested Backoff Time", 90.0), "resting", 99.0),
        (SourceUnavailable("gone"), "ok", 0.33),
        (ProtocolError("nonsense"), "ok", 0.33),
        (TooManyConnections("15"), "ok", 20.0),
    ],
    ids=lambda value: str(value)[:20],
)
def test_each_failure_has_its_wait_and_all_are_told(
    error: FastmailIngestError, standing: str, longest_s: float
) -> None:
    desk = Desk()
    assert desk.enter() == 0.0
    wait_s = desk.gate.failed(error, 1)
    desk.gate.leave()
    assert 0.1 < wait_s <= longest_s
    assert desk.state.standing == standing
    if standing != "ok":
        assert desk.state.reason == str(error)
        assert desk.state.until == pytest.approx(time.time() + wait_s, abs=5)
        other = Desk(books=desk.books)
        assert other.gate.try_enter() > 0, "another process waits, too"
        assert not other.gate.is_open


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


def test_the_refused_are_asked_less_and_less_and_never_often_enough_to_be_locked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(gates, "time", clock)
    desk = Desk()
    asked_at = []
    for _ in range(8):
        asked_at.append(clock.now - 1_000.0)
        clock.now += desk.gate.failed(LoginRefused("no"), 1)
    in_the_first_hour = [at for at in asked_at if at < 3600]
    assert len(in_the_first_hour) <= 5
    assert desk.state.failures == 8


def test_another_password_is_tried_at_once() -> None:
    desk = Desk()
    desk.gate.failed(LoginRefused("no"), 1)
    assert desk.enter() > 0
    desk.credentials = "two"
    assert desk.enter() == 0.0


def test_hosts_that_differ_in_their_credentials_do_not_open_an_account_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)
    first, asked = Desk(), 0
    second = Desk(books=first.books)
    second.credentials = "two"
    for desk in [first, second] * 5:
        if not desk.enter():
            asked += 1
            desk.gate.failed(LoginRefused("no"), 1)
            desk.gate.leave()
    assert asked == 2
    second.credentials = "three"
    assert second.gate.try_enter() == 0.0
    second.gate.good(time.monotonic())
    assert first.state == AccountState(since=first.state.since), "all that was refused is forgotten"


def test_a_refused_token_is_renewed_once_then_a_human_is_asked_for() -> None:
    desk = Desk()
    assert desk.gate.failed(TokenRefused("expired"), 1) == 0.0
    assert desk.state.standing == "ok"
    assert desk.gate.failed(TokenRefused("expired"), 2) > 100
    assert desk.state.standing == "suspended"
    desk.gate.good(time.monotonic())
    assert desk.state.standing == "ok"
    assert desk.gate.failed(TokenRefused("expired"), 1) == 0.0


def test_a_new_setup_is_tried_at_once_and_its_token_renewed_once_again() -> None:
    desk = Desk()
    desk.gate.failed(TokenRefused("expired"), 1)
    assert desk.gate.failed(TokenRefused("expired"), 2) > 100
    desk.credentials = "set up anew"
    assert desk.gate.try_enter() == 0.0
    assert desk.gate.failed(TokenRefused("expired"), 1) == 0.0


def test_after_a_rest_one_probes_and_the_others_wait_for_it() -> None:
    desk = Desk(slots=2)
    desk.books.put_state("a", AccountState("resting", until=time.time() - 1))
    assert desk.enter() == 0.0
    assert desk.enter() > 0, "a second connection of this process waits"
    assert Desk(books=desk.books).gate.try_enter() > 0, "and so does another process"
    desk.gate.good(time.monotonic())
    assert desk.enter() == 0.0
    assert desk.state.standing == "ok"


def test_too_many_connections_leave_one_less() -> None:
    desk = Desk(slots=3)
    assert desk.enter() == 0.0
    desk.gate.failed(TooManyConnections("15"), 1)
    assert desk.enter() == 0.0
    assert desk.enter() > 0
    for _ in range(5):
        desk.gate.failed(TooManyConnections("15"), 1)
    desk.gate.leave()
    desk.gate.leave()
    assert desk.gate._slots == 1


def test_after_many_failures_one_at_a_time_may_ask() -> None:
    desk = Desk(slots=9)
    for failures in range(gates.BREAKER_FAILURES):
        assert desk.enter() == 0.0
        desk.gate.failed(SourceUnavailable("gone"), failures)
    assert desk.enter() > 0
    assert not desk.gate.is_open


def test_a_server_that_answers_with_a_refusal_is_there() -> None:
    desk = Desk()
    for _ in range(gates.BREAKER_FAILURES + 1):
        desk.gate.failed(LoginRefused("no"), 1)
    desk.credentials = "two"
    assert desk.enter() == 0.0


def test_the_budget_of_a_day_is_shared_and_ends_the_fetching() -> None:
    desk = Desk(daily_bytes=1000)
    desk.gate.spending.check()
    desk.gate.spending.spend(999, 1)
    desk.gate.spending.check()
    desk.gate.spending.spend(1, 1)
    with pytest.raises(BudgetSpent, match="daily_bytes") as refused:
        desk.gate.spending.check()
    assert 23 * 3600 < refused.value.retry_after_s <= 25 * 3600
    with pytest.raises(BudgetSpent):
        Desk(daily_bytes=1000, books=desk.books).gate.spending.check()
    Desk(daily_bytes=0, books=desk.books).gate.spending.check()


def test_a_budget_that_is_used_up_keeps_all_out_until_it_is_raised() -> None:
    desk = Desk(daily_bytes=1000)
    desk.gate.spending.spend(1000, 1)
    assert 23 * 3600 < desk.enter() <= 25 * 3600
    assert not desk.gate.is_open
    assert "daily_bytes" in desk.gate.reason
    assert desk.state.standing == "ok", "the account is well"
    raised = Desk(daily_bytes=2000, books=desk.books)
    assert raised.gate.try_enter() == 0.0
    assert raised.gate.is_open


def test_what_others_fetch_is_seen_when_the_bytes_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)
    desk = Desk(daily_bytes=1000)
    desk.gate.spending.spend(1000, 1)
    assert desk.enter() > 0
    desk.books.forget_spent()
    assert desk.enter() == 0.0


class Away(MemoryBooks):
    unavailable = (ConnectionError,)
    away = True
    asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise ConnectionError

    def spend(self, account: str, size: int, commands: int) -> dict[int, int]:
        self._ask()
        return super().spend(account, size, commands)

    def state(self, account: str) -> AccountState:
        self._ask()
        return super().state(account)

    def put_state(self, account: str, state: AccountState) -> None:
        self._ask()
        super().put_state(account, state)

    def spent(self, account: str) -> dict[int, int]:
        self._ask()
        return super().spent(account)


@pytest.mark.parametrize("error", [LoginRefused("no"), LimitReached("bandwidth")])
def test_an_old_connection_that_lives_on_does_not_open_a_shut_account(error: FastmailIngestError) -> None:
    desk = Desk(slots=2)
    entered_at = time.monotonic()
    desk.gate.failed(error, 1)
    shut = desk.state
    desk.gate.good(entered_at)
    assert desk.state == shut
    other = Desk(books=desk.books)
    assert other.gate.try_enter() > 0
    other.gate.good(entered_at)
    assert desk.state == shut, "nor does that of another process"
    desk.gate.good(time.monotonic())
    assert desk.state.standing == "ok"


def test_a_token_is_renewed_once_whatever_an_old_connection_says() -> None:
    desk = Desk()
    entered_at = time.monotonic()
    assert desk.gate.failed(TokenRefused("expired"), 1) == 0.0
    desk.gate.good(entered_at)
    assert desk.gate.failed(TokenRefused("expired"), 2) > 100


def test_a_redis_that_hangs_is_not_asked_by_each_thread() -> None:
    books = Away()
    desk = Desk(slots=20, daily_bytes=100, books=books)
    for _ in range(10):
        assert desk.enter() == 0.0
        desk.gate.spending.spend(1, 1)
        desk.gate.spending.check()
    assert books.asked == 1


def test_what_redis_was_not_told_it_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_books, "AWAY_S", 0.0)
    monkeypatch.setattr(shared_books, "LOOK_S", 0.0)
    books = Away()
    desk = Desk(books=books)
    desk.gate.failed(LoginRefused("no"), 1)
    books.away = False
    assert desk.enter() > 0
    assert desk.state.standing == "suspended"


def test_while_redis_is_away_the_gate_knows_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_books, "AWAY_S", 0.0)
    books = Away()
    desk = Desk(daily_bytes=100, books=books)
    desk.gate.spending.check()
    assert desk.enter() == 0.0
    desk.gate.failed(LoginRefused("no"), 1)
    assert desk.enter() > 0
    desk.gate.spending.spend(60, 1)
    desk.gate.spending.spend(60, 1)
    books.away = False
    desk.gate.spending.spend(0, 0)
    with pytest.raises(LimitReached):
        desk.gate.spending.check()


def test_one_logs_in_at_a_time_so_that_a_wrong_password_is_refused_once() -> None:
    desk = Desk(slots=15)
    assert desk.gate.try_enter() == 0.0
    assert desk.gate.try_enter() > 0
    desk.gate.logged_in()
    assert desk.gate.try_enter() == 0.0
    desk.gate.leave()
    desk.gate.failed(SourceUnavailable("gone"), 1)
    assert desk.gate.try_enter() == 0.0


def test_who_probes_and_leaves_without_a_result_leaves_no_account_shut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "_PROBE_S", 0.0)
    desk = Desk()
    desk.books.put_state("a", AccountState("resting", until=time.time() - 1))
    assert desk.enter() == 0.0
    desk.gate.leave()  # our own bytes were used up in between
    assert desk.enter() == 0.0


@pytest.mark.parametrize("standing", ["resting", "suspended"])
def test_a_rest_that_a_wrong_clock_wrote_down_shuts_no_account_for_years(standing: Standing) -> None:
    desk = Desk()
    desk.books.put_state("a", AccountState(standing, time.time() + 1e8, 1, credentials="one"))
    assert desk.enter() == 0.0


def test_an_account_whose_server_is_busy_for_long_rests_as_a_whole() -> None:
    desk = Desk(slots=15)
    waits = [desk.gate.failed(ServerBusy("[THROTTLED]"), 1) for _ in range(gates._BUSY_MAX + 1)]
    assert max(waits[:-1]) < 1.0
    assert waits[-1] > 20
    assert desk.state.standing == "resting"
    assert desk.gate.try_enter() > 20
    desk.gate.good(time.monotonic())
    assert desk.state.standing == "ok"
    assert desk.gate.failed(ServerBusy("[THROTTLED]"), 1) < 1.0


def test_what_two_connections_hear_at_once_counts_once() -> None:
    desk = Desk(slots=2)
    first = desk.gate.failed(LimitReached("bandwidth"), 1)
    assert desk.gate.failed(LimitReached("bandwidth"), 1) == pytest.approx(first, abs=5)
    assert desk.state.failures == 1
