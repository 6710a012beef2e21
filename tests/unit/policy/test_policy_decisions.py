"""The pure decisions: properties that hold for every input, and the cases people ask about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.model.mailbox import Cursor, MailboxState
from fastmail_ingest.policy import restart, retry, uidplan
from fastmail_ingest.policy.backoff import Backoff, delay_s
from fastmail_ingest.policy.batch import BatchAim, next_count
from fastmail_ingest.policy.polling import PollPace, idle_wait, next_interval
from fastmail_ingest.policy.restart import RestartPolicy, RoleBroken, StartAt

unit = st.floats(0, 1, exclude_max=True)
backoffs = st.builds(
    Backoff, first_s=st.floats(0, 100), multiplier=st.floats(1, 10), cap_s=st.floats(0, 1e6), jitter=unit
)


@given(backoffs, st.integers(0, 10_000), unit)
def test_a_delay_never_leaves_its_bounds(backoff: Backoff, failures: int, random: float) -> None:
    delay = delay_s(backoff, failures, random)
    assert 0 <= delay <= backoff.cap_s * (1 + backoff.jitter)


def test_delays_grow_to_the_cap() -> None:
    backoff = Backoff(1.0, 2.0, 10.0, 0.0)
    assert [delay_s(backoff, n, 0.5) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("error", "failures", "verdict"),
    [
        (ValueError(), 1, retry.TryAgain(1.0)),
        (ValueError(), 3, retry.TryAgain(4.0)),
        (ValueError(), 5, retry.GiveUp("retries_exhausted")),
        (Retry(after=60), 1, retry.TryAgain(60)),
        (Retry(after=-1), 1, retry.TryAgain(0.0)),
        (Retry("later"), 2, retry.TryAgain(2.0)),
        (Retry(after=60), 5, retry.GiveUp("retries_exhausted")),
        (Reject("no"), 1, retry.GiveUp("rejected")),
    ],
)
def test_what_becomes_of_a_failed_mail(error: Exception, failures: int, verdict: object) -> None:
    rules = retry.ErrorRules(retry.RetryRule(5, Backoff(1.0, 2.0, 60.0, 0.0)))
    assert retry.decide(error, retry.Past(failures, failures, 0.0), rules, 0.5) == verdict


@given(
    count=st.integers(1, 1000), handled=st.integers(0, 3000), elapsed=st.floats(0, 1e4), size=st.integers(0, 10**9)
)  # fmt: skip
def test_a_batch_stays_between_one_and_the_most(count: int, handled: int, elapsed: float, size: int) -> None:
    aim = BatchAim(0.1, 8 << 20, 1000)
    assert 1 <= next_count(aim, count, handled, elapsed, size) <= 1000


def test_a_slow_handler_hoards_nothing_and_a_quick_one_doubles() -> None:
    aim = BatchAim(0.1, 8 << 20, 512)
    assert next_count(aim, 64, 64, 64 * 5.0, 64_000) == 1
    assert next_count(aim, 64, 64, 0.001, 64_000) == 128
    assert next_count(aim, 512, 512, 0.001, 512 << 20) == 8


@given(st.integers(0, 5000), st.integers(1, 20_000), st.integers(1, 700))
def test_windows_cover_every_uid_once(last: int, uid_next: int, width: int) -> None:
    covered: list[int] = []
    while window := uidplan.next_window(last, uid_next, width):
        covered += range(window.first, window.last + 1)
        assert last < window.last <= last + width
        last = window.last
    assert covered == list(range(covered[0], uid_next)) if covered else uid_next <= last + 1


def test_another_uidvalidity_begins_anew_and_recognises_by_content() -> None:
    state = MailboxState(uid_validity=9, uid_next=101, exists=100)
    assert uidplan.start(Cursor(), state) == Cursor(9, 0, 0)
    assert uidplan.start(Cursor(9, 50), state) == Cursor(9, 50)
    assert uidplan.start(Cursor(8, 50), state) == Cursor(9, 0, 100)


@given(st.floats(0.05, 10), st.floats(10, 600), st.floats(0, 1000), st.booleans(), unit)
def test_waits_stay_within_the_pace(
    low: float, high: float, before: float, found: bool, random: float
) -> None:
    pace = PollPace(low, high)
    assert low <= next_interval(pace, before, found) <= high
    assert 0 < idle_wait(pace, random) <= high


def test_young_deaths_back_off_and_then_break_the_role() -> None:
    policy = RestartPolicy(5.0, 3, 60.0)
    assert restart.decide(policy, [], 100.0, 1000.0, 0.5) == StartAt(1000.0)
    assert restart.decide(policy, [], 1.0, 1000.0, 0.5) == StartAt(1000.0)
    later = restart.decide(policy, [990.0], 1.0, 1000.0, 0.5)
    assert isinstance(later, StartAt)
    assert later.at > 1000.0
    assert restart.decide(policy, [990.0, 995.0, 999.0], 1.0, 1000.0, 0.5) == RoleBroken(4)
    assert restart.decide(policy, [100.0, 200.0, 300.0], 1.0, 1000.0, 0.5) == StartAt(1000.0)


def test_deaths_by_mails_back_off_only_if_nothing_is_finished_between_them() -> None:
    policy = RestartPolicy(5.0, 3, 60.0, deadly_max=8, recovery_s=30.0)
    assert restart.after_blamed_death(policy, 1, 1000.0, 0.5) == StartAt(1000.0)
    waits = [restart.after_blamed_death(policy, n, 1000.0, 0.5).at - 1000.0 for n in range(1, 9)]
    assert waits == sorted(waits)
    assert 0 < waits[1] < waits[-1] <= 1.3
    assert restart.after_blamed_death(policy, 9, 1000.0, 0.5) == StartAt(1030.0)


def test_a_child_that_is_struck_down_comes_again_however_often() -> None:
    policy = RestartPolicy(5.0, 3, 60.0)
    waits = [restart.after_strike(policy, [999.9] * n, 1000.0, 0.5).at - 1000.0 for n in range(50)]
    assert waits == sorted(waits)
    assert waits[4] == 0 < waits[5]
    assert waits[-1] <= policy.backoff.cap_s * 1.3
    assert restart.after_strike(policy, [900.0] * 50, 1000.0, 0.5) == StartAt(1000.0)
