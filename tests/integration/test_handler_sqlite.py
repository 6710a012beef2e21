"""The handler "sqlite" on real files: one row a mail, whoever is killed at whatever point."""

import json
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.kept_mail import CLASSIFIED, HOSTILE, WITH_ATTACHMENT, classified, deaths, mail

from fastmail_ingest.config.boxed_files import SqliteConfig
from fastmail_ingest.errors import ConfigError, HandlerLoadError
from fastmail_ingest.handler import sqlite
from fastmail_ingest.handler.record import record_of
from fastmail_ingest.handler.sqlite import Sqlite


def handler(path: Path, **settings: Any) -> Sqlite:
    made = Sqlite(SqliteConfig(path=str(path), **settings))
    made.startup()
    return made


def rows(path: Path, words: str = "SELECT * FROM mails ORDER BY id") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(words)]


def test_a_row_holds_the_mail(tmp_path: Path) -> None:
    handler(tmp_path / "m.db")([mail(0)])
    (row,) = rows(tmp_path / "m.db")
    assert (row["id"], row["subject"], row["raw"]) == ("a:INBOX:7:0", "Grüße", None)
    assert json.loads(row["to"]) == ["bob@example.com", "c@example.com"]
    assert row["date"] == "2025-01-06T08:00:00+00:00"
    assert (tmp_path / "m.db").stat().st_mode & 0o077 == 0


def test_attachments_and_the_whole_mail_if_wanted(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    handler(path, attachments=True, raw=True)([mail(0, WITH_ATTACHMENT), mail(0, WITH_ATTACHMENT, 2)])
    assert rows(path)[0]["raw"] == WITH_ATTACHMENT
    assert rows(path, "SELECT * FROM attachments") == [
        {
            "mail": "a:INBOX:7:0", "number": 1, "filename": "a.pdf", "content_type": "application/pdf",
            "content": b"PDF",
        }
    ]  # fmt: skip


def test_a_hostile_mail_is_a_row_like_others(tmp_path: Path) -> None:
    handler(tmp_path / "m.db")([mail(0, HOSTILE)])
    assert "\0" not in rows(tmp_path / "m.db")[0]["text"]


def test_a_mail_that_comes_again_gets_no_second_row(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    one, other = handler(path), handler(path)
    one([mail(0), mail(1)])
    other([mail(1, attempt=2), mail(2), mail(2)])
    assert [(row["id"][-1], row["attempt"]) for row in rows(path)] == [("0", 1), ("1", 1), ("2", 1)]


@pytest.mark.parametrize("word", ["BEGIN IMMEDIATE", "INSERT", "COMMIT"])
def test_killed_at_whatever_point_each_mail_has_one_row(word: str, tmp_path: Path) -> None:
    mails = [mail(uid, WITH_ATTACHMENT, attempt=2) for uid in range(3)]

    class Watched(sqlite3.Connection):
        def execute(self, words: str, *values: Any) -> sqlite3.Cursor:
            if words.startswith(word):
                self.pass_by()
            return super().execute(words, *values)

        def pass_by(self) -> None: ...

    def write(directory: Path) -> None:
        really = sqlite3.connect
        sqlite3.connect = lambda *args, **names: really(*args, factory=Watched, **names)  # type: ignore[assignment]
        handler(directory / "m.db", attachments=True)(mails)

    for left in deaths(write, tmp_path, (Watched, "pass_by")):
        handler(left / "m.db", attachments=True)(mails)
        assert len(rows(left / "m.db")) == 3
        assert len(rows(left / "m.db", "SELECT * FROM attachments")) == 3


def test_a_row_that_the_table_does_not_take_is_an_error_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = handler(tmp_path / "m.db")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "record_of", lambda email: replace(record_of(email), subject=None))
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            made([mail(0)])
    made([mail(0, attempt=2)])
    assert len(rows(tmp_path / "m.db")) == 1


def test_many_begin_at_once(tmp_path: Path) -> None:
    path, count = tmp_path / "m.db", 8
    together = threading.Barrier(count)

    def one(number: int) -> None:
        together.wait()
        made = handler(path)
        for uid in range(20):
            made([mail(100 * number + uid), mail(uid)])
        made.shutdown()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(1, count + 1)))
    assert len(rows(path)) == 20 * count + 20


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mails (x)")
    with pytest.raises(ConfigError, match=r"\[sqlite\] path: .* another program.*remedy: "):
        handler(path)
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at " * 100)
    with pytest.raises(ConfigError, match=r"not a database.*remedy: "):
        handler(tmp_path / "text")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    handler(path).shutdown()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 3")
    with pytest.raises(ConfigError, match="schema version 3, this program writes 2"):
        handler(path)


def test_a_classification_is_a_column_that_older_files_get(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    handler(path)([mail(0)])
    with closing(sqlite3.connect(path)) as older:
        older.execute("ALTER TABLE mails DROP COLUMN classification")
        older.execute("PRAGMA user_version = 1")
    handler(path)([classified(1), mail(2)])
    handler(path)([mail(3)])
    found = [row["classification"] for row in rows(path)]
    assert json.loads(found.pop(1)) == CLASSIFIED
    assert found == [None] * 3


def test_a_wrong_place_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path, tmp_path / "file" / "m.db"):
        with pytest.raises(HandlerLoadError, match=r"\[sqlite\] path.*remedy: "):
            Sqlite(SqliteConfig(path=str(wrong)))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("taken_away", ["removed", "renamed"])
def test_no_mail_is_written_into_a_file_that_is_gone(taken_away: str, tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    made = handler(path)
    made([mail(1)])
    if taken_away == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "old.db")
    made([mail(2)])
    assert [row["id"] for row in rows(path)] == [mail(2).id]
