"""New data for our own server, all or nothing: `<data_dir>/restoring` takes the place of what was there.

The old data are kept in a directory of their own. A mark is written when the new ones are complete: whoever
finds it, a restore or a supervisor that starts, finishes the exchange. Without it what is half done goes.
"""

import json
import os
import re
import shutil
from pathlib import Path

from fastmail_ingest.blob.draft import private, sync_directory
from fastmail_ingest.errors import BackupError

_MARK = "restore.json"
_STAGED = "restoring"
_KEPT = re.compile(r"before-restore-[0-9TZ-]{1,32}")
# What a server loads at its start: the append-only files, or without them the snapshot.
_DATA = ("appendonlydir", "dump.rdb")


def staged(data_dir: Path) -> Path:
    """A new, empty directory for the data that are to come. The caller holds the lock of `data_dir`."""
    finish(data_dir)
    directory = data_dir / _STAGED
    directory.mkdir(mode=0o700)
    return directory


def exchange(data_dir: Path, kept: str) -> Path | None:
    """Put the staged data in place of those that are there, which are moved to `data_dir/kept`.

    Returns that directory, whose name gets a number if it is taken; None if there were none. Raises OSError.
    """
    kept = _free(data_dir, kept)
    sync_directory(data_dir / _STAGED / _DATA[0])
    sync_directory(data_dir / _STAGED)
    sync_directory(data_dir)
    draft = data_dir / f".{_MARK}"
    draft.unlink(missing_ok=True)
    with open(draft, "x", opener=private) as file:
        json.dump({"kept": kept}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(data_dir / _MARK)
    sync_directory(data_dir)
    finish(data_dir)
    return data_dir / kept if (data_dir / kept).exists() else None


def _free(data_dir: Path, kept: str) -> str:
    number, name = 1, kept
    while (data_dir / name).exists():
        number += 1
        name = f"{kept}-{number}"
    return name


def finish(data_dir: Path) -> bool:
    """Finish an exchange that was begun, else remove what was staged; True if one was finished.

    The caller holds the lock of `data_dir`. Raises OSError, and BackupError if the mark is not ours.
    """
    mark = data_dir / _MARK
    begun = mark.exists()
    if begun:
        _move(data_dir, data_dir / _STAGED, data_dir / _kept_in(mark))
        mark.unlink()
        sync_directory(data_dir)
    discard(data_dir)
    return begun


def discard(data_dir: Path) -> None:
    """Remove what was staged, unless its exchange has begun. Raises OSError."""
    if not (data_dir / _MARK).exists() and (data_dir / _STAGED).exists():
        shutil.rmtree(data_dir / _STAGED)


def _move(data_dir: Path, directory: Path, kept: Path) -> None:
    new = directory / _DATA[0]
    if not new.exists():
        return  # it is in its place already
    for name in _DATA:
        if (data_dir / name).exists():
            kept.mkdir(mode=0o700, exist_ok=True)
            (data_dir / name).rename(kept / name)
    new.rename(data_dir / _DATA[0])
    sync_directory(data_dir)


def _kept_in(mark: Path) -> str:
    try:
        kept = str(json.loads(mark.read_text())["kept"])
    except (ValueError, KeyError, TypeError):
        kept = ""
    if not _KEPT.fullmatch(kept):
        raise BackupError(f"{mark} is not ours, or damaged. remedy: remove it, and restore once more")
    return kept
