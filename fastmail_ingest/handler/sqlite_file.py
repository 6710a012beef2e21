"""An SQLite file of ours: private, with a schema of a known version, written by several processes at once."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.handler.place import PRIVATE_FILE, make_directory

# A worker that is stopped in the middle of a transaction holds the others up, no more.
_BUSY_S = 60.0
_WAL_PAUSE_S = 0.01


class Schema(Struct, frozen=True):
    """`application_id` (sqlite.org/pragma.html) tells whose file it is, `version` what is in it.

    `upgrades` has the statements that make the next version of an older one.
    """

    application_id: int
    version: int
    statements: tuple[str, ...]
    upgrades: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def open_file(setting: str, path: Path, schema: Schema) -> sqlite3.Connection:
    """A connection to the file at `path`, made with `schema` if it is not there or empty.

    A COMMIT has reached the disk when it returns. May be used by one thread at a time. Raises ConfigError
    for a file of somebody else, and sqlite3.OperationalError if it cannot be opened now.
    """
    make_directory(path.parent)
    # SQLite gives its other files (-wal, -shm) the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            _make(connection, setting, path, schema)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise ConfigError(f"{setting}: {path}: {error}. remedy: name another file") from error
        raise
    return connection


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from another one that takes its place; None if there is none.

    A file that is removed or renamed goes on taking rows, which nobody will ever find.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _use_wal(connection: sqlite3.Connection) -> None:
    """Several may open a new file at once, and for this change alone SQLite does not wait for its lock."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_WAL_PAUSE_S)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, which alone writes to the file while it lasts; undone if the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make(connection: sqlite3.Connection, setting: str, path: Path, schema: Schema) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application_id, version, tables) == (0, 0, 0):
        for statement in schema.statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
    elif application_id != schema.application_id:
        raise ConfigError(f"{setting}: {path} is the database of another program. remedy: name another file")
    elif version in schema.upgrades:
        for older in range(version, schema.version):
            for statement in schema.upgrades[older]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema.version}")
    elif version != schema.version:
        raise ConfigError(
            f"{setting}: {path} has schema version {version}, this program writes {schema.version}. "
            "remedy: name another file, or use the version of fastmail-ingest that made it"
        )
