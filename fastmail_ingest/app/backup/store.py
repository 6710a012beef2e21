"""The directory of backups: each whole or not there, the newest kept.

    fastmail-ingest-20261125T031500Z.rdb     the snapshot
    fastmail-ingest-20261125T031500Z.blobs   the large mails that it names, if there are any
    fastmail-ingest-20261125T031500Z.json    the manifest: written last, removed first

What is not finished has a name that begins with a dot, and is removed by the next backup.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup import manifest as manifests
from fastmail_ingest.app.backup.manifest import Manifest
from fastmail_ingest.blob.draft import private, sync_directory
from fastmail_ingest.errors import BackupError, ConfigError

_NAME = "fastmail-ingest"
_STEM = re.compile(rf"{_NAME}-\d{{8}}T\d{{6}}Z(-\d+)?")
_PART, _GOING = ".part", ".going"
_LOCK = f".{_NAME}.lock"
RDB, BLOBS, MANIFEST = ".rdb", ".blobs", ".json"


class Stored(msgspec.Struct, frozen=True):
    """A backup in the directory; `problem` says why it cannot be relied on."""

    path: Path  # of the snapshot
    manifest: Manifest | None
    problem: str = ""

    @property
    def bytes(self) -> int:
        """What it takes on disk, as far as its manifest tells."""
        return self.manifest.rdb_bytes + self.manifest.blob_bytes if self.manifest is not None else 0


class Draft:
    """A backup that is being written; `publish` makes it one."""

    def __init__(self, directory: Path, stem: str) -> None:
        self._directory = directory
        self._stem = stem
        self.rdb = directory / f".{stem}{RDB}{_PART}"
        self.blobs = directory / f".{stem}{BLOBS}{_PART}"

    def publish(self, manifest: Manifest) -> Path:
        """Give all its name; returns that of the snapshot. Raises OSError."""
        note = self._directory / f".{self._stem}{MANIFEST}{_PART}"
        with open(note, "xb", opener=private) as file:
            file.write(manifests.encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        final = self._directory / f"{self._stem}{RDB}"
        if self.blobs.exists():
            sync_directory(self.blobs)
            self.blobs.rename(final.with_suffix(BLOBS))
        self.rdb.rename(final)
        # The names of the parts must be durable before that of the manifest, which vouches for them.
        sync_directory(self._directory)
        note.rename(final.with_suffix(MANIFEST))
        sync_directory(self._directory)
        return final


class BackupStore:
    """Backups in one directory. All methods raise OSError if the disk refuses."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory, for nobody else to read. Raises ConfigError if nothing can be written there."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (probe := self._directory / f".{_NAME}-{os.getpid()}{_PART}").touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"no backup can be written to {self._directory}: {error.strerror}. remedy: make room there, "
                "or name another one by --directory or [backup] directory"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the directory; what killed ones left is removed. Raises BackupError if we are not."""
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(
                    f"another backup is being written to {self._directory}. remedy: wait until it has ended"
                ) from None
            self._clear()
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def begun(self, taken_at: float) -> Iterator[Draft]:
        """A new backup; what was not published in the end is removed."""
        try:
            yield Draft(self._directory, self._free_stem(taken_at))
        finally:
            self._clear()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory that is removed in the end; if we are killed, by the next backup."""
        with tempfile.TemporaryDirectory(_PART, f".{_NAME}-", self._directory) as name:
            yield Path(name)

    def _free_stem(self, taken_at: float) -> str:
        stem = f"{_NAME}-{datetime.fromtimestamp(taken_at, UTC):%Y%m%dT%H%M%SZ}"
        names, number = {path.stem for path in self._directory.iterdir()}, 1
        while stem in names:
            number += 1
            stem = f"{stem.partition('Z')[0]}Z-{number}"
        return stem

    def all(self) -> list[Stored]:
        """All backups, oldest first; bytes are not compared, only sizes."""
        found = [_stored(path) for path in self._directory.glob(f"*{MANIFEST}") if _STEM.fullmatch(path.stem)]
        named = {stored.path for stored in found}
        why = "it has no manifest: its writing was cut off, or it was copied alone"
        found += [Stored(path, None, why) for path in self._directory.glob(f"*{RDB}") if path not in named]
        return sorted(found, key=lambda each: (_taken_at(each), each.path.name))

    def newest_whole(self, prefix: str) -> Stored | None:
        """The newest backup of this prefix without a problem."""
        notes = [path for path in self._directory.glob(f"*{MANIFEST}") if _STEM.fullmatch(path.stem)]
        found = (_stored(note) for note in sorted(notes, key=lambda note: note.stem, reverse=True))
        return next((each for each in found if not each.problem and _is_of(each, prefix)), None)

    def retain(self, prefix: str, keep: int) -> list[Path]:
        """Remove all but the newest `keep` whole backups of this prefix, and damaged ones that are older."""
        mine = [each for each in self.all() if _is_of(each, prefix)]
        whole = [each for each in mine if not each.problem]
        if len(whole) <= keep:
            return []
        oldest = whole[-keep]
        gone = mine[: mine.index(oldest)]
        for each in gone:
            self._remove(each.path.stem)
        return [each.path for each in gone]

    def _remove(self, stem: str) -> None:
        # Whoever dies in the middle of this has left a name that says what is to be done.
        going = self._directory / f".{stem}{_GOING}"
        (self._directory / f"{stem}{MANIFEST}").rename(going)
        sync_directory(self._directory)
        self._finish_removing(going)

    def _finish_removing(self, going: Path) -> None:
        stem = going.name[1:].removesuffix(_GOING)
        (self._directory / f"{stem}{RDB}").unlink(missing_ok=True)
        _remove_tree(self._directory / f"{stem}{BLOBS}")
        going.unlink(missing_ok=True)

    def _clear(self) -> None:
        for path in self._directory.glob(f".{_NAME}-*{_PART}"):
            _remove_tree(path)
        for path in self._directory.glob(f".{_NAME}-*{_GOING}"):
            self._finish_removing(path)
        for path in self._directory.glob(f"*{BLOBS}"):
            # Named, but its snapshot never was.
            if _STEM.fullmatch(path.stem) and not any(
                path.with_suffix(suffix).exists() for suffix in (RDB, MANIFEST)
            ):
                _remove_tree(path)


def beside(rdb: Path) -> Stored:
    """What is known of one snapshot file, wherever it is."""
    return _stored(rdb.with_suffix(MANIFEST)) if rdb.with_suffix(MANIFEST).exists() else Stored(rdb, None)


def blobs_of(rdb: Path) -> list[Path]:
    """The files of the large mails that belong to a snapshot."""
    directory = rdb.with_suffix(BLOBS)
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _stored(note: Path) -> Stored:
    path = note.with_suffix(RDB)
    try:
        manifest = manifests.decode(note.read_bytes())
    except (OSError, BackupError) as error:
        return Stored(path, None, str(error))
    return Stored(path, manifest, _problem(path, manifest))


def _problem(path: Path, manifest: Manifest) -> str:
    """What the sizes tell."""
    if not path.exists():
        return f"{path.name} is missing"
    if (size := path.stat().st_size) != manifest.rdb_bytes:
        return f"{path.name} has {size} bytes, and had {manifest.rdb_bytes} when it was made"
    blobs = blobs_of(path)
    if len(blobs) < manifest.blob_count or _sum(blobs) < manifest.blob_bytes:
        return f"of {manifest.blob_count} large mails with {manifest.blob_bytes} bytes not all are there"
    return ""


def _is_of(stored: Stored, prefix: str) -> bool:
    return stored.manifest is not None and stored.manifest.prefix == prefix


def _sum(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _taken_at(stored: Stored) -> float:
    if stored.manifest is not None:
        return stored.manifest.taken_at
    try:
        return stored.path.stat().st_mtime
    except OSError:
        return 0.0


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
