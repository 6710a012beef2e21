"""supervisor.toml.example: current, complete, and loadable."""

import re
from collections.abc import Callable
from pathlib import Path

from fastmail_ingest.config import Config, RedisConfig, load
from fastmail_ingest.config.example import EXAMPLE_FILE, render
from fastmail_ingest.config.layout import keys, lists, sections, unwrap

WriteConfig = Callable[[str], Path]
ROOT = Path(__file__).parents[3]


def test_example_is_current() -> None:
    made = "python -m fastmail_ingest.config.example"
    assert (ROOT / EXAMPLE_FILE).read_text(encoding="utf-8") == render(), f"run {made}"


def test_example_loads(write: WriteConfig, secret: str) -> None:
    config = load(write(render()), {})
    assert config.accounts[0].password == secret
    assert config.producer == Config().producer


def test_commented_defaults_are_right(write: WriteConfig) -> None:
    uncommented = re.sub(r"^# (\[\[|[a-z_]+ = |    \"|\]$)", r"\1", render(), flags=re.MULTILINE)
    config = load(write(uncommented), {})
    plain = {
        name: getattr(config, name)
        for name in sections()
        if name not in lists() | {"redis", "blobs", "backup", "jsonl", "maildir", "sqlite"}
    }
    assert plain == {name: getattr(Config(), name) for name in plain}
    assert config.redis.url == RedisConfig().url
    assert config.blobs.inline_limit == Config().blobs.inline_limit
    assert config.backup.keep == Config().backup.keep
    assert config.accounts[0].mailboxes == ["INBOX"]
    assert config.jsonl.rotate_bytes == Config().jsonl.rotate_bytes
    assert [rule.category for rule in config.classify_rules] == ["billing"]
    (rule,) = config.retry_for
    assert (rule.error, rule.reject) == ("requests.exceptions.ConnectionError", False)


def test_a_list_that_may_be_empty_is_commented_out(write: WriteConfig) -> None:
    assert "\n# [[retry_for]]\n" in render()
    assert load(write(render()), {}).retry_for == []


def test_every_key_is_described_and_shown() -> None:
    text = render()
    for section in sections():
        for key, entry in keys(section).items():
            assert unwrap(entry.type)[1].description
            assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE)


def test_no_line_is_long() -> None:
    assert all(len(line) <= 100 for line in render().splitlines())
