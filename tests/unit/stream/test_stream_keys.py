"""The names of the keys."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.stream.connect import redacted
from fastmail_ingest.stream.keys import Keys, month_ttl_s

DAY_S = 86_400


@given(st.integers(0, 3650))
def test_a_month_expires_only_when_its_last_day_is_forgotten(keep_days: int) -> None:
    assert month_ttl_s(keep_days) >= (keep_days + 31) * DAY_S


def test_all_keys_share_one_hash_tag_and_none_shares_a_name() -> None:
    keys = Keys("fmi")
    names = [*keys.lanes.values(), keys.queued, keys.delayed, keys.delayed_body, keys.dead, keys.node("n")]
    names += [keys.cursor(MailboxKey("a", "INBOX")), keys.done, keys.month("202601")]
    names += [keys.bytes, keys.groups]
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
