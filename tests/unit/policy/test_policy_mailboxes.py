"""Budget, width of windows, and which UIDs are to be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.model.mailbox import Cursor, MailboxState
from fastmail_ingest.policy import backoff, budget, uidplan
from fastmail_ingest.policy import width as widths
from fastmail_ingest.policy.batch import BatchAim, for_old_mail, next_count
from fastmail_ingest.policy.width import Width

NOW = 1_700_000_000.0
hours = st.dictionaries(
    st.integers(budget.hour_of(NOW) - 40, budget.hour_of(NOW)), st.integers(0, 10**9), max_size=48
)


@given(hours, st.integers(1, 10**9))
def test_after_the_wait_there_is_budget_again(by_hour: dict[int, int], limit: int) -> None:
    wait_s = budget.wait_s(by_hour, limit, NOW)
    if wait_s == 0.0:
        assert budget.spent(by_hour, NOW) < limit
    else:
        assert budget.spent(by_hour, NOW) >= limit
        assert wait_s <= 25 * budget.HOUR_S
        assert budget.spent(by_hour, NOW + wait_s) < limit
        assert budget.spent(by_hour, NOW + wait_s - 1) >= limit


@given(hours)
def test_without_a_limit_nothing_waits(by_hour: dict[int, int]) -> None:
    assert budget.wait_s(by_hour, 0, NOW) == 0.0


def test_what_was_spent_counts_for_a_whole_day() -> None:
    spent_at = budget.hour_of(NOW)
    assert budget.spent({spent_at: 7}, NOW + 24 * 3600) == 7
    assert budget.spent({spent_at: 7}, NOW + 25 * 3600) == 0


widths_ = st.builds(Width, st.integers(1, 10_000), st.integers(0, 3))


@given(widths_, st.integers(1, 10_000), st.integers(1, 10_000), st.integers(0, 10**10), st.floats(0, 1e4))
def test_a_width_stays_in_its_bounds(width: Width, most: int, uids: int, size: int, elapsed_s: float) -> None:
    after = widths.after_success(width, most, uids, size, elapsed_s)
    assert 1 <= after.uids <= most
    assert after.uids <= max(uids * widths.GROWTH, 1)
    assert after.failed_alone == 0


def test_large_mails_and_slow_lines_narrow_the_window_and_small_ones_widen_it() -> None:
    wide = Width(1000)
    assert widths.after_success(wide, 2000, 1000, 64 * 1024 * 1024, 1.0).uids == 500
    assert widths.after_success(wide, 2000, 1000, 1024, 10.0).uids == 500
    assert widths.after_success(wide, 2000, 1000, 1024, 0.01).uids == 2000


@given(widths_, st.integers(1, 10_000))
def test_failures_lead_to_the_mail_at_fault_in_a_few_steps(width: Width, uids: int) -> None:
    steps = 0
    while width.failed_alone < 3:
        width = widths.after_failure(width, min(width.uids, uids))
        assert width.uids >= 1
        steps += 1
    assert steps <= 9


OLD = Cursor(uid_validity=7, last_uid=50)


@pytest.mark.parametrize(
    ("state", "cursor"),
    [
        (MailboxState(7, 51, 3), OLD),
        (MailboxState(7, 900, 3), OLD),
        # made anew: another UIDVALIDITY
        (MailboxState(8, 20, 3), Cursor(8, 0, 19)),
        # UIDs given out again under the same UIDVALIDITY: a generation of our own
        # and what we have read is recognised if it comes again
        (MailboxState(7, 50, 3), Cursor((1 << 32) + 7, 0, 50)),
        (MailboxState(7, 1, 0), Cursor((1 << 32) + 7, 0, 50)),
        # UIDs that do not outlive the session
        (MailboxState(7, 900, 3, sticky=False), Cursor((1 << 32) + 7, 0, 899)),
        # a server that does not tell UIDNEXT: the last mail was removed, that is all
        (MailboxState(7, 20, 3, told=False), OLD),
    ],
)
def test_where_to_begin(state: MailboxState, cursor: Cursor) -> None:
    assert uidplan.start(OLD, state) == cursor
    assert uidplan.server_validity(cursor.uid_validity) == state.uid_validity


def test_generations_go_on() -> None:
    second = uidplan.start(OLD, MailboxState(7, 10, 3))
    assert uidplan.start(second, MailboxState(7, 10, 3)) == second
    behind = Cursor(second.uid_validity, 9)
    third = uidplan.start(behind, MailboxState(7, 5, 3))
    assert third.uid_validity == (2 << 32) + 7
    other = uidplan.start(third, MailboxState(8, 5, 3))
    assert uidplan.start(other, MailboxState(7, 5, 3)).uid_validity == third.uid_validity


def test_a_forgotten_mailbox_gives_no_name_a_second_time() -> None:
    forgotten = Cursor(uidplan.forgotten((2 << 32) + 7))
    assert uidplan.forgotten(7) == 0
    assert uidplan.start(forgotten, MailboxState(7, 51, 50)) == Cursor((2 << 32) + 7, 0, 50)
    assert uidplan.start(forgotten, MailboxState(8, 51, 50)) == Cursor((2 << 32) + 8, 0, 50)
    assert uidplan.start(forgotten, MailboxState(7, 51, 50), begin_now=True) == Cursor((2 << 32) + 7, 50)
    # UIDs of the last session mean nothing.
    assert uidplan.start(forgotten, MailboxState(7, 51, 50, sticky=False)) == Cursor((3 << 32) + 7, 0, 50)
    assert not uidplan.is_current(forgotten, MailboxState(7, 1, 0))


def test_a_new_mailbox_begins_with_all_or_with_what_comes_from_now_on() -> None:
    state = MailboxState(7, 51, 50)
    assert uidplan.start(Cursor(), state) == Cursor(7, 0)
    assert uidplan.start(Cursor(), state, begin_now=True) == Cursor(7, 50)
    assert uidplan.start(OLD, state, begin_now=True) == OLD


def test_a_mailbox_is_current_only_if_all_agrees() -> None:
    assert uidplan.is_current(OLD, MailboxState(7, 51, 3))
    assert not uidplan.is_current(OLD, MailboxState(7, 52, 3))
    assert not uidplan.is_current(OLD, MailboxState(8, 51, 3))
    assert not uidplan.is_current(OLD, MailboxState(7, 50, 3))
    assert not uidplan.is_current(OLD, MailboxState(7, 51, 3, sticky=False))
    assert uidplan.is_current(Cursor((1 << 32) + 7, 50), MailboxState(7, 51, 3))


def test_hours_to_come_were_booked_by_a_wrong_clock_and_do_not_count() -> None:
    now = 500_000 * 3600.0
    assert budget.wait_s({600_000: 1000}, 100, now) == 0.0
    assert budget.wait_s({499_999: 100, 600_000: 1000}, 100, now) == 24 * 3600.0


def test_a_time_that_is_too_far_away_is_over() -> None:
    assert backoff.left_s(1010.0, 1000.0) == 10.0
    assert backoff.left_s(990.0, 1000.0) == 0.0
    assert backoff.left_s(1000.0 + backoff.LONGEST_S + 1, 1000.0) == 0.0
    assert backoff.left_s(float("nan"), 1000.0) == 0.0


def test_while_old_mail_is_imported_a_worker_holds_less() -> None:
    aim = BatchAim(target_s=0.1, bytes_max=1 << 30, count_max=512)
    live = next_count(aim, 512, handled=100, elapsed_s=0.1, bytes_read=100)
    old = next_count(for_old_mail(aim), 512, handled=100, elapsed_s=0.1, bytes_read=100)
    assert (live, old) == (100, 10)
