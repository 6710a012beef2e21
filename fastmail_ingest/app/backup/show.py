"""What `backup` says: what was made, and what there is."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup import copying
from fastmail_ingest.app.backup.make import Made
from fastmail_ingest.app.backup.store import BackupStore, Stored
from fastmail_ingest.app.backup.telling import in_words
from fastmail_ingest.app.operate import words
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK

_MIB = 1024 * 1024


def say_made(made: Made, *, as_json: bool) -> None:
    """Print what was made."""
    manifest = made.manifest
    if as_json:
        facts = {"path": str(made.path), "seconds": made.seconds, **msgspec.to_builtins(manifest)}
        words.say_json(facts | {"removed": [str(path) for path in made.removed], "notes": made.notes})
        return
    checked = f"read by {manifest.checked_by} to its end" if manifest.checked_by else "not read by a server"
    words.say(f"{made.path}: {size(manifest.rdb_bytes)}, {checked}", "bold green")
    if manifest.blob_count:
        words.say(f"with {manifest.blob_count} large mails, {size(manifest.blob_bytes)}")
    words.say(in_words(manifest.counts))
    for path in made.removed:
        words.say(f"removed: {path}")
    for note in made.notes:
        words.say(note, "yellow")


def show_all(directory: Path, *, as_json: bool) -> int:
    """Print all backups, each with its checksum taken anew; returns the exit code."""
    found = BackupStore(directory).all() if directory.is_dir() else []
    with words.progress("checksums", sum(each.bytes for each in found)) as bar:
        found = [verified(each, bar) for each in found]
    if as_json:
        words.say_json({"directory": str(directory), "backups": [_facts(each) for each in found]})
    elif not found:
        words.say(f"no backup in {directory}")
    else:
        columns = ("backup", "age", "size", "large mails", "waiting", "dead", "done", "state")
        words.console().print(words.table(columns, map(_row, found), numbers=columns[1:-1]))
    return EXIT_FAILURE if any(each.problem for each in found) else EXIT_OK


def verified(stored: Stored, step: copying.Step) -> Stored:
    """The same, with a problem if its bytes are not those that were written."""
    if stored.manifest is None or stored.problem:
        return stored
    try:
        copied = copying.hashed(stored.path, step)
    except OSError as error:
        return msgspec.structs.replace(stored, problem=f"cannot be read: {error.strerror}")
    if copied.sha256 == stored.manifest.rdb_sha256:
        return stored
    return msgspec.structs.replace(stored, problem="its bytes are not those that were written")


def size(count: int) -> str:
    """Bytes for a human."""
    return f"{count / _MIB:.1f} MiB"


def _row(stored: Stored) -> Sequence[object]:
    manifest, state = stored.manifest, stored.problem or "verified"
    if manifest is None:
        return stored.path.name, "", "", "", "", "", "", state
    counts = manifest.counts
    age = words.duration(time.time() - manifest.taken_at)
    numbers = (manifest.blob_count, counts.waiting, counts.dead, counts.done)
    return stored.path.name, age, size(stored.bytes), *numbers, state


def _facts(stored: Stored) -> dict[str, object]:
    manifest = stored.manifest
    facts = {} if manifest is None else msgspec.to_builtins(manifest)
    age_s = None if manifest is None else time.time() - manifest.taken_at
    return {
        "path": str(stored.path), "verified": not stored.problem, "problem": stored.problem, "age_s": age_s,
        **facts,
    }  # fmt: skip
