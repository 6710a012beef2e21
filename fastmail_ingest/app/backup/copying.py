"""Files on their way into a backup and out of it: durable, private, and known by their hash."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from fastmail_ingest.blob.draft import private, sync_directory

_CHUNK_BYTES = 1024 * 1024

Step = Callable[[int], None]  # is told of each step how much it did; raises what ends the work


class Copied(msgspec.Struct, frozen=True):
    """How much was copied, and its SHA-256 in hex."""

    size: int
    sha256: str


def copy(source: BinaryIO, target: Path, step: Step) -> Copied:
    """Copy a file into a new one, and make it durable. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with open(target, "xb", opener=private) as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            step(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return Copied(size, digest.hexdigest())


def hashed(path: Path, step: Step) -> Copied:
    """What a file holds. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            step(len(chunk))
    return Copied(size, digest.hexdigest())


def made_durable(path: Path, step: Step) -> Copied:
    """The same for a file that another program has written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashed(path, step)


def keep_blobs(found: Sequence[tuple[str, list[Path]]], target: Path, step: Step) -> list[int]:
    """Link or copy blobs, each with the places where it may be, into a new directory; returns their sizes.

    Raises OSError. A blob's file is never written to again, so a link is as good as a copy.
    """
    sizes: list[int] = []
    for name, places in found:
        if not sizes:
            target.mkdir(mode=0o700, exist_ok=True)
        kept = target / name.rpartition("/")[2]
        if _is_kept(places, kept):
            sizes.append(kept.stat().st_size)
        step(1)
    if sizes:
        sync_directory(target)
    return sizes


def _is_kept(places: Sequence[Path], target: Path) -> bool:
    """False if it is nowhere: then a hand has removed it."""
    for place in places:
        try:
            _link_or_copy(place, target)
            return True
        except FileNotFoundError:
            continue
    return False


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
        return
    except FileNotFoundError:
        raise
    except OSError:
        pass  # another disk, or a file system without links
    with source.open("rb") as file, open(target, "xb", opener=private) as copied:
        shutil.copyfileobj(file, copied, _CHUNK_BYTES)
        copied.flush()
        os.fsync(copied.fileno())
