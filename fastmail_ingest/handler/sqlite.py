"""The handler "sqlite": a row for each mail."""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import astuple

from fastmail_ingest.config.boxed_files import SqliteConfig
from fastmail_ingest.handler.place import check_file
from fastmail_ingest.handler.record import COLUMNS, Enclosed, Record, enclosed_in, record_of
from fastmail_ingest.handler.sqlite_file import Schema, identity, open_file, transaction
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.handler import batch_handler

_SETTING = "[sqlite] path"
_SCHEMA = Schema(
    application_id=0x666D6971,
    version=2,
    statements=(
        """CREATE TABLE mails (
            id TEXT PRIMARY KEY, account TEXT NOT NULL, mailbox TEXT NOT NULL, lane TEXT NOT NULL,
            attempt INTEGER NOT NULL, internal_date TEXT, date TEXT, sender TEXT NOT NULL,
            sender_name TEXT NOT NULL, "to" TEXT NOT NULL, cc TEXT NOT NULL, subject TEXT NOT NULL,
            message_id TEXT NOT NULL, text TEXT NOT NULL, size INTEGER NOT NULL, flags TEXT NOT NULL,
            labels TEXT NOT NULL, classification TEXT, raw BLOB)""",
        """CREATE TABLE attachments (
            mail TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            filename TEXT NOT NULL, content_type TEXT NOT NULL, content BLOB NOT NULL,
            PRIMARY KEY (mail, number)) WITHOUT ROWID""",
    ),
    upgrades={1: ("ALTER TABLE mails ADD COLUMN classification TEXT",)},
)
_NAMES = ", ".join(f'"{column}"' for column in COLUMNS)
_PLACES = ", ".join("?" * len(COLUMNS))
# Not OR IGNORE: that leaves out, without a word, whatever breaks any rule of the table.
_MAIL = f"INSERT INTO mails ({_NAMES}) VALUES ({_PLACES}) ON CONFLICT (id) DO NOTHING"  # noqa: S608 - our own names
_ATTACHMENT = "INSERT INTO attachments (mail, number, filename, content_type, content) VALUES (?, ?, ?, ?, ?)"


class Sqlite:
    """Writes one row a mail into the table `mails`, and its attachments into `attachments` if wanted.

    Guarantee: exactly one row a mail, whoever is killed whenever: `id` is the primary key, and a batch of
    mails is one transaction, attachments included. A mail is done when its row is on disk. Lists are
    JSON, times ISO 8601 in UTC. Several processes of one host may write at once.
    """

    def __init__(self, section: SqliteConfig) -> None:
        self._path = Path(section.path)
        check_file(_SETTING, self._path)
        self._section = section
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def startup(self) -> None:
        """Open the file and make its tables; raises ConfigError, OSError or sqlite3.Error."""
        with self._lock:
            self._opened()

    def shutdown(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    @batch_handler
    def __call__(self, emails: Sequence[Email]) -> None:
        """Write the rows of mails that have none yet; on disk when it returns."""
        # Read before the lock on the file is taken: others write meanwhile.
        rows = [(_row(record_of(email), self._raw(email)), self._enclosed(email)) for email in emails]
        with self._lock, transaction(connection := self._opened()):
            for row, enclosed in rows:
                if connection.execute(_MAIL, row).rowcount:
                    connection.executemany(_ATTACHMENT, [_attachment(row[0], each) for each in enclosed])

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and identity(self._path) != self._identity:
            self._close()  # somebody has taken the file away: to go on would lose mails
        if self._connection is None:
            self._connection = open_file(_SETTING, self._path, _SCHEMA)
            self._identity = identity(self._path)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _raw(self, email: Email) -> bytes | None:
        return email.raw if self._section.raw else None

    def _enclosed(self, email: Email) -> list[Enclosed]:
        return enclosed_in(email) if self._section.attachments else []


def _row(record: Record, raw: bytes | None) -> tuple[object, ...]:
    return (*map(_value, astuple(record)), raw)


def _attachment(mail: object, enclosed: Enclosed) -> tuple[object, ...]:
    return (mail, enclosed.number, enclosed.filename, enclosed.content_type, enclosed.content)


def _value(value: object) -> object:
    """A value as SQLite can keep it."""
    if isinstance(value, list):
        return orjson.dumps(value).decode()
    if isinstance(value, Struct):
        return msgspec.json.encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value
