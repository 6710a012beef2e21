"""`status`: what it shows of accounts that are well, resting, suspended, and of their mailboxes."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.cli.main import cli
from fastmail_ingest.model.account_state import AccountState, Quarantined, Refusal
from fastmail_ingest.model.mailbox import MailboxKey

Status = Callable[..., str]
ACCOUNT = '[[accounts]]\nname = "{}"\nhost = "h"\nuser = "u"\npassword = "planted-secret"\nmailboxes = ["INBOX", "Müll"]\n'
HOSTILE = "\x1b[31m[bold]NO[/] \u202e"


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def status(stream: Operated, tmp_path: Path) -> Status:
    path = tmp_path / "supervisor.toml"
    path.write_text(
        f'[redis]\nurl = "{stream.url}"\n'
        + ACCOUNT.format("a")
        + ACCOUNT.format("b")
        + "daily_bytes = 5000000\n"
    )
    path.chmod(0o600)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["status", "--config", str(path), *words])
        assert done.exit_code == 0, done.output
        assert "planted-secret" not in done.output
        return done.output

    return run


def test_an_empty_stream_says_so(status: Status) -> None:
    text = status()
    assert "0 to handle, 0 waiting for a retry, 0 dead letters" in text
    assert text.count("never") == 4


def test_everything_that_is_known_is_shown(status: Status, stream: Operated) -> None:
    stream.append(1, 2, 3)
    books = stream.ledger.accounts
    books.spend("b", 2_500_000, 12)
    books.prove_fresh(MailboxKey("a", "INBOX"), 1_700_000_000.0)
    books.put_state("b", AccountState("resting", 4e9, 2, f"limits {HOSTILE}", 1.0, "0123"))
    books.put_quarantine(MailboxKey("a", "Müll"), [Quarantined(7, 5, 3, 1.8e9, HOSTILE)])
    text = status()
    assert "3 to handle" in text
    assert "resting for" in text
    assert "b: limits" in text
    assert "a/Müll UID 5: tried 3 times" in text
    assert "\x1b" not in text
    assert "\u202e" not in text

    told = json.loads(status("--json"))
    first, second = told["accounts"]
    lanes = told["stream"].pop("lanes")
    assert told["stream"].pop("bytes") > 0
    memory = told["stream"].pop("memory")
    assert memory["limit"] > memory["used"] > 0
    assert told["stream"] == {"to_handle": 3, "waiting_for_retry": 0, "dead": 0}
    assert [(each["lane"], each["mails"]) for each in lanes] == [("again", 0), ("live", 3), ("backfill", 0)]
    assert lanes[0]["oldest_s"] is None
    assert lanes[1]["oldest_s"] >= 0
    assert first["standing"] == "ok"
    assert [box["last_uid"] for box in first["mailboxes"]] == [3, 0]
    assert first["mailboxes"][0]["fresh_s_ago"] > 1000
    assert first["mailboxes"][1]["quarantined"][0]["uid"] == 5
    assert (second["standing"], second["bytes_in_24_h"], second["bytes_allowed"]) == (
        "resting",
        2_500_000,
        5_000_000,
    )
    assert second["commands_today"] == 12
    assert "credentials" not in second


def test_a_mailbox_that_is_not_opened_says_why(status: Status, stream: Operated) -> None:
    stream.ledger.accounts.put_refusal(MailboxKey("a", "Müll"), Refusal(time.time(), f"not there {HOSTILE}"))
    text = status()
    assert text.count("refused, never") == 1
    assert "a/Müll is not served (asked " in text
    assert "not there" in text
    assert "\x1b" not in text
    inbox, other = json.loads(status("--json"))["accounts"][0]["mailboxes"]
    assert inbox["refused"] is None
    assert "not there" in other["refused"]["reason"]
    stream.client.hset(stream.keys.refused, "a/Müll", "what others wrote")
    assert "refused" not in status()


def test_daily_bytes_that_are_used_up_are_a_rest(status: Status, stream: Operated) -> None:
    stream.ledger.accounts.spend("a", 5_000_000, 1)
    stream.ledger.accounts.spend("b", 5_000_000, 1)
    text = status()
    assert text.count("resting for") == 1
    assert "b: daily_bytes is used up: 5.0 MB were fetched in 24 hours, of 5.0 MB" in text
    first, second = json.loads(status("--json"))["accounts"]
    assert first["standing"] == "ok"
    assert second["standing"] == "resting"
    assert second["until"] > time.time()
    assert "daily_bytes" in second["reason"]
