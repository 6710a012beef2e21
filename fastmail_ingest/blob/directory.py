"""Blobs as files of a directory: `<directory>/<space>/<name>`, and drafts in `<directory>/incoming`.

A file gets its name only when all of it is on disk, so a blob is whole or not there.
"""

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fastmail_ingest.blob.draft import FileDraft
from fastmail_ingest.blob.hold import Hold
from fastmail_ingest.errors import BlobUnavailable, ConfigError

_log = logging.getLogger(__name__)

# Names come back to us out of Redis, where anybody may have written.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}-[0-9a-f]{16}/[0-9a-f]{32}")
_INCOMING = "incoming"


class StoredBlob(NamedTuple):
    """A blob that is there, and how long ago it was written or renewed, by the clock of its file system."""

    name: str
    age_s: float


class BlobDirectory:
    """The blobs of any number of databases in one directory. May be shared by threads and processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._incoming = directory / _INCOMING
        self._hold = Hold(directory)

    def prepare(self) -> None:
        """Make the directory if it is missing. Raises ConfigError if nothing can be written there."""
        try:
            for directory in (self._directory, self._incoming):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._now()
        except OSError as error:
            raise ConfigError(
                f"[blobs] directory: cannot write to {self._directory}: {error.strerror}. remedy: choose one "
                "that this user may write to, on a disk with room for large mails"
            ) from error

    def begin(self) -> FileDraft:
        """A new, empty draft. Never raises: if it cannot be written, its commit does."""
        # Not made anew if it is gone: beneath a disk that is not mounted now nobody would find the blob.
        return FileDraft(self._incoming / secrets.token_hex(16), self._place_of, self._hold.drop)

    def open(self, name: str) -> BinaryIO:
        """The blob, to be read and closed. Raises BlobUnavailable."""
        try:
            return self._place_of(name).open("rb")
        except FileNotFoundError as error:
            raise BlobUnavailable(
                f"the mail's bytes are not in {self._directory}. remedy: with several hosts, [blobs] "
                "directory must be one that all share; if they are lost, fetch the mail again and replay it"
            ) from error
        except OSError as error:
            raise BlobUnavailable(f"{self._directory}: {error.strerror}. remedy: see to that disk") from error

    def remove(self, name: str) -> None:
        """Remove a blob, if it is there; one that cannot be removed is left to the sweep."""
        try:
            self._hold.drop(self._place_of(name))
        except (OSError, BlobUnavailable) as error:
            _log.warning("a large mail that is done cannot be removed: %s", error)

    # --- looking for orphans -----------------------------------------------------------------------

    def stored(self, space: str) -> Iterator[StoredBlob]:
        """All blobs of a database. Raises OSError."""
        now = self._now()
        try:
            found = list(os.scandir(self._directory / space))
        except FileNotFoundError:
            return
        for entry in found:
            if (age_s := _age_s(entry, now)) is not None and _NAME.fullmatch(f"{space}/{entry.name}"):
                yield StoredBlob(f"{space}/{entry.name}", age_s)

    def size(self) -> int:
        """Bytes of all that is kept here, of all databases, drafts included. Raises OSError."""
        found = 0
        for folder in list(os.scandir(self._directory)):
            if folder.is_dir(follow_symlinks=False):
                found += sum(_size(entry) for entry in os.scandir(folder))
        return found

    def sweep_drafts(self, older_than_s: float) -> int:
        """Remove drafts that nobody writes any more; returns how many. Raises OSError."""
        now, removed = self._now(), 0
        for entry in list(os.scandir(self._incoming)):
            if (age_s := _age_s(entry, now)) is not None and age_s >= older_than_s:
                Path(entry).unlink(missing_ok=True)
                removed += 1
        self._hold.end_abandoned()
        return removed

    # --- for backups -------------------------------------------------------------------------------

    def holding(self) -> AbstractContextManager[None]:
        """While this lasts, removed blobs are put aside. Raises BlobUnavailable, OSError."""
        return self._hold.begun()

    def held(self, space: str) -> Iterator[tuple[str, list[Path]]]:
        """Each blob of a database that was there at any time since the hold began: its name, and where it may
        be, the place to look at first first. Raises OSError.
        """
        # In this order: a blob that is removed meanwhile is seen in both, not in neither.
        seen = set()
        for blob in self.stored(space):
            seen.add(blob.name)
            place = self._place_of(blob.name)
            yield blob.name, [place, self._hold.aside(place)]
        for name, place in self._hold.put_aside(space):
            if name not in seen and _NAME.fullmatch(name):
                yield name, [place]

    def has(self, name: str) -> bool:
        """Whether this blob is there."""
        return self._place_of(name).exists()

    def _now(self) -> float:
        """The time by the clock that stamps the files: that of a file server may differ from ours."""
        probe = self._incoming / secrets.token_hex(16)
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            probe.unlink(missing_ok=True)

    def _place_of(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BlobUnavailable(f"{name!r} is no name of a blob")
        return self._directory / name


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # done meanwhile
        return 0


def _age_s(entry: "os.DirEntry[str]", now: float) -> float | None:
    """How old a file is; None if it is gone meanwhile."""
    try:
        return now - entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return None
