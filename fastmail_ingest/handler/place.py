"""Files and directories that a handler keeps mails in: looked at before anything starts."""

import os
from pathlib import Path

from fastmail_ingest.errors import HandlerLoadError

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700


def check_directory(setting: str, path: Path) -> None:
    """Raise HandlerLoadError unless there is a directory at `path` that we may write to, or can be one.

    Makes nothing: a dry run writes nothing either. `setting` is where the path stands, "[jsonl] directory".
    """
    if "\0" in str(path):
        raise HandlerLoadError(f"{setting}: there is a NUL in it. remedy: name another directory")
    existing = next(each for each in (path, *path.parents) if each.exists())
    if not existing.is_dir():
        raise HandlerLoadError(
            f"{setting}: {existing} is no directory. remedy: name another directory, or move that file"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise HandlerLoadError(
            f"{setting}: we may not write to {existing}. remedy: chown or chmod it, or name another directory"
        )


def check_file(setting: str, path: Path) -> None:
    """Raise HandlerLoadError unless there is a file at `path` that we may write to, or can be one."""
    check_directory(setting, path.parent)
    if path.is_dir():
        raise HandlerLoadError(f"{setting}: {path} is a directory. remedy: name a file in it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise HandlerLoadError(f"{setting}: we may not write to {path}. remedy: chown or chmod it")


def make_directory(path: Path) -> None:
    """Make it, private to us, and what is missing above it; one that is there stays as it is."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make durable which names stand in a directory: a file's own fsync does not (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
