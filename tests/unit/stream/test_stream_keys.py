"""The names of the keys, and which months the ledger still knows."""

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.stream.connect import redacted
from fastmail_ingest.stream.keys import Keys, month_ttl_s, months_kept

DAY_S = 86_400
CENTURY_S = 36_525 * DAY_S


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "keep_days", "months"),
    [
        (at(2026, 3, 15), 0, ["202603"]),
        (at(2026, 1, 1), 0, ["202601"]),
        (at(2026, 1, 1), 1, ["202601", "202512"]),
        (at(2026, 1, 31), 31, ["202601", "202512"]),
        (at(2026, 12, 31), 30, ["202612"]),
        (at(2026, 1, 10), 45, ["202601", "202512", "202511"]),
        (at(2024, 3, 1), 1, ["202403", "202402"]),
        (at(2026, 2, 1), 365 + 31, [f"2026{m:02d}" for m in (2, 1)] + [f"2025{m:02d}" for m in range(12, 0, -1)]),
    ],
)  # fmt: skip
def test_months_kept(now: float, keep_days: int, months: list[str]) -> None:
    assert months_kept(now, keep_days) == months


@given(st.floats(0, CENTURY_S), st.integers(0, 3650), st.floats(0, 1))
def test_every_moment_that_is_kept_has_its_month(now: float, keep_days: int, share: float) -> None:
    months = months_kept(now, keep_days)
    moment = datetime.fromtimestamp(now - share * keep_days * DAY_S, UTC)
    assert f"{moment:%Y%m}" in months
    assert months == sorted(set(months), reverse=True)
    assert all(1 <= int(month[4:]) <= 12 for month in months)


@given(st.floats(0, CENTURY_S), st.integers(0, 3650))
def test_a_month_expires_only_when_its_last_day_is_forgotten(now: float, keep_days: int) -> None:
    forgotten = datetime.fromtimestamp(now, UTC) + timedelta(seconds=month_ttl_s(keep_days))
    assert f"{datetime.fromtimestamp(now, UTC):%Y%m}" not in months_kept(forgotten.timestamp(), keep_days)


def test_all_keys_share_one_hash_tag_and_none_shares_a_name() -> None:
    keys = Keys("fmi")
    names = [*keys.lanes.values(), keys.queued, keys.delayed, keys.delayed_body, keys.dead, keys.node("n")]
    names += [keys.cursor(MailboxKey("a", "INBOX")), keys.done("202601"), keys.seen("202601")]
    assert all(name.startswith("{fmi:0}:") for name in names)
    assert all(fnmatchcase(name, keys.everything) for name in names)
    assert len(set(names)) == len(names)


def test_everything_leaves_other_prefixes_alone() -> None:
    assert not fnmatchcase(Keys("fmi2").queued, Keys("fmi").everything)
    assert not fnmatchcase(Keys("xfmi").queued, Keys("fmi").everything)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u:secret@h:6379/0", "redis://h:6379/0"),
        ("redis://:se@cr@et@h/0", "redis://h/0"),
        ("rediss://secret@h", "rediss://h"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize("url", ["redis://h/0?password=secret", "unix:///run/redis.sock?password=secret"])
def test_a_password_among_the_options_is_not_shown_either(url: str) -> None:
    assert "secret" not in redacted(url)
