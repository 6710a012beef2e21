"""Whether a file is a backup that can be put back: asked before anything is touched."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup import copying
from fastmail_ingest.app.backup.manifest import Manifest
from fastmail_ingest.app.backup.store import MANIFEST, beside, blobs_of
from fastmail_ingest.app.operate import words
from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.rdb import RdbFacts, check_with_any


class Candidate(msgspec.Struct, frozen=True):
    """A snapshot that is whole, as far as its manifest and the server's own checker can tell."""

    path: Path
    binary: Path  # of a server that can load it
    facts: RdbFacts
    manifest: Manifest | None
    blobs: dict[str, Path]  # large mails, by the end of their names
    notes: list[str]


def examined(
    path: Path, prefix: str, binaries: Sequence[Path], timeout_s: float, step: Callable[[int], None]
) -> Candidate:
    """Look at all of it, with the first server that can; raises BackupError that says what is wrong."""
    stored, notes = beside(path), []
    manifest = stored.manifest
    if not path.exists():
        raise BackupError(f"{path} is not there. remedy: `fastmail-ingest backup --list` names the backups")
    if manifest is None and stored.problem:
        note = path.with_suffix(MANIFEST)
        raise BackupError(f"{note}: {stored.problem}. remedy: use another backup")
    if manifest is None:
        notes.append("it has no manifest: that it is whole is known from its own checksum alone")
    else:
        _compare(path, manifest, prefix, step)
        if manifest.blob_count > len(blobs_of(path)):
            notes.append(f"of its {manifest.blob_count} large mails only {len(blobs_of(path))} are there")
    with words.busy("check"):
        binary, facts = check_with_any(path, binaries, timeout_s)
    return Candidate(path, binary, facts, manifest, {blob.name: blob for blob in blobs_of(path)}, notes)


def _compare(path: Path, manifest: Manifest, prefix: str, step: Callable[[int], None]) -> None:
    size = path.stat().st_size
    if size != manifest.rdb_bytes:
        what = "was cut off" if size < manifest.rdb_bytes else "is not the file that was written"
        raise BackupError(
            f"{path} {what}: it has {size} bytes, and had {manifest.rdb_bytes}. remedy: use another backup"
        )
    try:
        same = copying.hashed(path, step).sha256 == manifest.rdb_sha256
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}. remedy: use another backup") from error
    if not same:
        raise BackupError(
            f"{path} is damaged: its bytes are not those that were written (SHA-256). "
            "remedy: use another backup"
        )
    if manifest.prefix != prefix:
        raise BackupError(
            f"{path} is of the prefix {words.clean(manifest.prefix)!r}, and [redis] prefix is {prefix!r}. "
            "remedy: use the configuration that it was made with"
        )
