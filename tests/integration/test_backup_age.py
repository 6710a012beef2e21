"""How old the newest good backup is: of real backups, as the metrics page tells it."""

from pathlib import Path

import pytest
from support.backups import Commands
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.app.backup.age import BackupAge

PREFIX = "fmi"


@pytest.fixture
def run(tmp_path: Path, redis_server: RedisServer) -> Commands:
    Operated(redis_server).config(tmp_path)
    return Commands(tmp_path)


@pytest.fixture
def age(run: Commands) -> BackupAge:
    return BackupAge(run.directory / "fastmail-ingest-backups", PREFIX)


def taken_at(run: Commands, path: Path) -> float:
    listed = run.json("backup", "--list")["backups"]
    return next(each["taken_at"] for each in listed if each["path"] == str(path))


def test_nothing_is_said_where_no_backups_are_made(age) -> None:
    assert age.newest_at() is None


def test_the_newest_counts(run, age) -> None:
    first = run.backup()
    assert age.newest_at() == taken_at(run, first)
    second = run.backup()
    assert age.newest_at() == taken_at(run, second) > taken_at(run, first)
    second.with_suffix(".json").unlink()
    assert age.newest_at() == taken_at(run, first)


def test_one_that_cannot_be_relied_on_does_not_count(run, age) -> None:
    first, second = run.backup(), run.backup()
    second.write_bytes(second.read_bytes()[:-1])
    assert age.newest_at() == taken_at(run, first)
    assert BackupAge(first.parent, "another").newest_at() == 0.0


def test_an_unchanged_directory_is_not_read_again(run, age, monkeypatch) -> None:
    path = run.backup()
    assert age.newest_at()
    monkeypatch.setattr("fastmail_ingest.app.backup.age.BackupStore", None)
    assert age.newest_at() == taken_at(run, path)
