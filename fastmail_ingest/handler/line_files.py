"""Lines in files that rotate, each key's line written once: an index beside the files knows the keys.

One transaction of the index a call: its lock keeps other writers out, its end comes after the lines are on
disk. If we die before that, the lines are there and the index knows nothing of them: whoever writes next
finds the file longer than the index says, takes whole lines over into the index and cuts off a torn one.
"""

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson
from msgspec import Struct

from fastmail_ingest.handler.place import PRIVATE_FILE, make_directory, sync_directory
from fastmail_ingest.handler.sqlite_file import Schema, identity, open_file, transaction

INDEX_NAME = ".index.db"
_DAY_S = 86400.0
_KEY_BYTES = 16  # of SHA-256: nobody can make two mails that share one
_NAME = re.compile(r"mails-\d{4}-\d\d-\d\d\.\d{4,}\.jsonl")
_SCHEMA = Schema(
    application_id=0x666D696A,
    version=1,
    statements=(
        "CREATE TABLE files (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL)",
        "CREATE TABLE written (key BLOB PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID",
    ),
)


class Rotation(Struct, frozen=True):
    """When a new file is begun, and for how long keys are remembered; 0 bytes is never."""

    bytes_max: int
    daily: bool
    keep_days: int


class _File(Struct):
    """The file that is written to; `size` is how much of it the index knows."""

    path: Path
    size: int
    fresh: bool  # it may stand in the directory only since just now


class LineFiles:
    """The files of one directory. One thread at a time; any number of processes of one host."""

    def __init__(self, setting: str, directory: Path, rotation: Rotation) -> None:
        self._setting, self._directory, self._rotation = setting, directory, rotation
        self._index: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the index and mend the files; raises ConfigError, OSError or sqlite3.Error."""
        path = self._directory / INDEX_NAME
        if self._index is not None and identity(path) != self._identity:
            self.close()  # somebody has taken the directory away
        if self._index is not None:
            return
        make_directory(self._directory)
        index = open_file(self._setting, path, _SCHEMA)
        try:
            with transaction(index):
                self._mend(index)
        except BaseException:
            index.close()
            raise
        self._index, self._identity = index, identity(path)

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def append(self, lines: Iterable[tuple[str, bytes]], now: float) -> None:
        """Write the line of each key that has none yet; all are on disk when this returns.

        `now` is in seconds since the epoch. A line holds its key as the JSON string "id", and ends with a
        line break. Raises OSError or sqlite3.Error.
        """
        self.open()
        index = self._index
        if index is None:  # never after open()
            return
        with transaction(index):
            file = self._current(index, now)
            with _opened(file.path) as out:
                for key, line in lines:
                    if _is_new(index, key, now):
                        file.size += out.write(line)
                out.flush()
                os.fsync(out.fileno())
            if file.fresh:
                sync_directory(self._directory)
            index.execute("UPDATE files SET size = ? WHERE name = ?", (file.size, file.path.name))

    # --- which file --------------------------------------------------------------------------------

    def _current(self, index: sqlite3.Connection, now: float) -> _File:
        """The file to write to, with nothing behind what the index knows; a new one if it is time."""
        day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        row = index.execute("SELECT name, size FROM files ORDER BY number DESC LIMIT 1").fetchone()
        if row is not None:
            file = _File(self._directory / row[0], row[1], fresh=not row[1])
            file.size = _mended(index, file, now)
            if not self._is_full(file, day):
                return file
            index.execute("UPDATE files SET size = ? WHERE name = ?", (file.size, file.path.name))
        (same_day,) = index.execute(
            "SELECT count(*) FROM files WHERE name LIKE ?", (f"mails-{day}.%",)
        ).fetchone()
        new = _File(self._directory / f"mails-{day}.{same_day + 1:04d}.jsonl", 0, fresh=True)
        index.execute("INSERT INTO files (name, size) VALUES (?, 0)", (new.path.name,))
        oldest = int(now / _DAY_S) - self._rotation.keep_days
        index.execute("DELETE FROM written WHERE day < ?", (oldest,))
        new.size = _mended(index, new, now)  # it may be there: the machine died before the index was on disk
        return new

    def _is_full(self, file: _File, day: str) -> bool:
        too_large = 0 < self._rotation.bytes_max <= file.size
        return too_large or (self._rotation.daily and not file.path.name.startswith(f"mails-{day}."))

    def _mend(self, index: sqlite3.Connection) -> None:
        """Take over files that the index does not know, cut off what is torn at their ends.

        Either the index was lost, or a writer died after it had begun a new file: then the one before it has
        lines that the index does not know, too.
        """
        self._mend_newest(index)
        known = {name for (name,) in index.execute("SELECT name FROM files")}
        found = sorted(path for path in self._directory.iterdir() if _NAME.fullmatch(path.name))
        for path in found:
            if path.name not in known:
                file = _File(path, 0, fresh=True)
                size = _mended(index, file, path.stat().st_mtime, foreign_lines=True)
                index.execute("INSERT INTO files (name, size) VALUES (?, ?)", (path.name, size))

    def _mend_newest(self, index: sqlite3.Connection) -> None:
        row = index.execute("SELECT name, size FROM files ORDER BY number DESC LIMIT 1").fetchone()
        if row is not None:
            file = _File(self._directory / row[0], row[1], fresh=not row[1])
            size = _mended(index, file, datetime.now(UTC).timestamp())
            index.execute("UPDATE files SET size = ? WHERE name = ?", (size, row[0]))


def _opened(path: Path) -> BinaryIO:
    """A file to append to."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "ab")


def _is_new(index: sqlite3.Connection, key: str, now: float) -> bool:
    """Note the key; False if it was noted before."""
    hashed = hashlib.sha256(key.encode()).digest()[:_KEY_BYTES]
    row = (hashed, int(now / _DAY_S))
    return bool(index.execute("INSERT INTO written VALUES (?, ?) ON CONFLICT (key) DO NOTHING", row).rowcount)


def _mended(index: sqlite3.Connection, file: _File, now: float, *, foreign_lines: bool = False) -> int:
    """Note the keys of whole lines behind what the index knows, cut off the rest; returns the new size.

    A line that is not ours is part of the rest, for it is what a machine left that lost its power; with
    `foreign_lines` it may be what somebody wrote by hand, and stays.
    """
    try:
        actual = file.path.stat().st_size
    except FileNotFoundError:
        return 0
    if actual <= file.size:
        return actual
    size = file.size
    with file.path.open("r+b") as content:
        content.seek(size)
        for line in content:
            key = _key_of(line)
            if not line.endswith(b"\n") or (key is None and not foreign_lines):
                break
            if key is not None:
                _is_new(index, key, now)
            size += len(line)
        if size < actual:
            content.truncate(size)
        os.fsync(content.fileno())
    return size


def _key_of(line: bytes) -> str | None:
    """The key of a line; None if it is not one of ours."""
    try:
        key = orjson.loads(line)["id"]
    except (ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, str) else None
