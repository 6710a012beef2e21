"""The handlers that keep mails, under the schedule of kills: each mail is kept once."""

import json
import sqlite3
from pathlib import Path

import pytest
from support.postgres_server import PostgresServer

from fastmail_ingest.testing import Action, Chaos, Mishap, Progress, run_chaos

SEEDS = (1, 2)
EMAILS = 250
# Whoever writes is killed most of all, and at times the one who reads the mail on its behalf.
ACTIONS = {
    Action.KILL_WORKER: 8, Action.KILL_SUPERVISOR: 1, Action.KILL_REDIS: 1,
    Action.STOP_WORKER: 2, Action.CUT_CONNECTIONS: 1, Action.DROP_GROUPS: 1, Action.RELOAD: 1,
}  # fmt: skip


def chaos_of(seed: int, **settings: dict[str, object]) -> Chaos:
    return Chaos(
        emails=EMAILS,
        kills=6,
        disturbances=2,
        seed=seed,
        actions=ACTIONS,
        mishaps={Mishap.RAISE_ONCE: 2, Mishap.DIE_ONCE: 1, Mishap.RAISE_ALWAYS: 1},
        ahead=100,
        hang_timeout_s=5.0,
        settings={"handler": {"batch_size": 20}, "retry": {"attempts": 5, "max_deaths": 10}, **settings},
    )


def check(report, kept: list[str], directory: Path, named_by_id: bool = True) -> None:
    assert report.ok, report
    # One by plan; one more if a mail was in hand at many kills: that is the schedule's doing.
    dead = sum(report.dead.values())
    assert dead >= 1, report
    assert report.handled + dead == EMAILS, report
    with sqlite3.connect(directory / "effects.db") as effects:
        handled = {identity for (identity,) in effects.execute("SELECT identity FROM effects")}
    assert len(set(kept)) == len(kept)
    assert not named_by_id or handled <= set(kept)
    assert 0 <= len(kept) - len(handled) < dead


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_jsonl_keeps_each_mail_once(seed: int, tmp_path: Path) -> None:
    chaos = chaos_of(seed, jsonl={"rotate_bytes": 20_000})
    report = run_chaos("jsonl", chaos, directory=tmp_path)
    files = sorted((tmp_path / "mails-jsonl").glob("*.jsonl"))
    assert len(files) > 5
    check(report, [json.loads(line)["id"] for f in files for line in f.read_bytes().splitlines()], tmp_path)


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_sqlite_keeps_each_mail_once(seed: int, tmp_path: Path) -> None:
    report = run_chaos("sqlite", chaos_of(seed), directory=tmp_path)
    with sqlite3.connect(tmp_path / "mails.db") as database:
        check(report, [row[0] for row in database.execute("SELECT id FROM mails")], tmp_path)


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_maildir_keeps_each_mail_once(seed: int, tmp_path: Path) -> None:
    report = run_chaos("maildir", chaos_of(seed), directory=tmp_path)
    # Names follow from the mails' ids: no two files are one mail.
    check(
        report, [path.name for path in (tmp_path / "Maildir" / "new").iterdir()], tmp_path, named_by_id=False
    )


def kept_in(postgres: PostgresServer, table: str) -> list[str]:
    with postgres.connect() as connection:
        return [row[0] for row in connection.execute(f"SELECT id FROM {table}")]


@pytest.mark.parametrize("seed", SEEDS, ids="seed{}".format)
def test_postgres_keeps_each_mail_once(seed: int, tmp_path: Path, postgres: PostgresServer) -> None:
    chaos = chaos_of(seed, postgres={"url": postgres.url(), "table": f"kept_{seed}"})
    report = run_chaos("postgres", chaos, directory=tmp_path)
    check(report, kept_in(postgres, f"kept_{seed}"), tmp_path)


class Crasher:
    """Kills the database once while it is written to, and starts it again."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self.done = False

    def __call__(self, now: Progress) -> None:
        if not self.done and now.handled > 100:
            self._postgres.kill()
            self._postgres.start()
            self.done = True


def test_postgres_itself_is_killed(tmp_path: Path, postgres: PostgresServer) -> None:
    chaos = Chaos(
        emails=400, kills=4, disturbances=0, actions={Action.KILL_WORKER: 1}, ahead=100,
        settings={
            "handler": {"batch_size": 20}, "breaker": {"failures": 1, "recovery": 0.05, "successes": 1},
            "postgres": {"url": postgres.url(), "table": "kept_after_a_crash"},
        },
    )  # fmt: skip
    crasher = Crasher(postgres)
    report = run_chaos("postgres", chaos, directory=tmp_path, watch=crasher)
    assert crasher.done
    assert report.ok, report
    assert report.dead == {}
    assert len(kept_in(postgres, "kept_after_a_crash")) == report.handled == 400
