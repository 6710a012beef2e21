"""Finds the archives under a path: the file itself, or what is in a folder and the folders in it."""

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from fastmail_ingest.archive.archives import Archive, Gzipped, MailFolder, Mbox, Problem, Tar, Zip, reading
from fastmail_ingest.archive.kinds import PEEK_BYTES, Kind, kind_of
from fastmail_ingest.archive.stream import Stream
from fastmail_ingest.errors import ArchiveError

_MAILDIR = ("cur", "new")
_FILES: dict[Kind, Callable[[Path], Archive]] = {
    Kind.MBOX: Mbox, Kind.EMPTY: Mbox, Kind.ZIP: Zip, Kind.TAR: Tar,
}  # fmt: skip


def find(path: Path, problem: Problem) -> list[Archive]:
    """The archives at `path`, in an order that stays. `problem` hears of what cannot be read in a folder.

    Raises ArchiveError if there is none: no such path, no right to read it, nothing in it that is mail.
    """
    if path.is_dir():
        found = list(_in_folder(path, problem))
    else:
        found = [archive] if (archive := _of_file(path, problem)) is not None else []
    if not found:
        raise ArchiveError(
            f"{path}: holds no mail that we know how to read. remedy: name an mbox (also as .gz), a "
            "Maildir, a folder of .eml files, or a Takeout as folder, .zip or .tgz"
        )
    return found


def _in_folder(top: Path, problem: Problem) -> Iterator[Archive]:
    # Links to folders are not followed: they may lead round in circles.
    for folder, below, names in os.walk(top, onerror=lambda error: problem(_unreadable(error))):
        path = Path(folder)
        if all(part in below for part in _MAILDIR):
            below[:] = [name for name in below if name not in (*_MAILDIR, "tmp")]
            if mails := [f"{part}/{name}" for part in _MAILDIR for name in _files(path / part, problem)]:
                yield MailFolder(path, mails, problem)
        below.sort()
        yield from _in_files(path, sorted(names), problem)


def _files(folder: Path, problem: Problem) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        problem(_unreadable(error))
        return []


def _in_files(folder: Path, names: list[str], problem: Problem) -> Iterator[Archive]:
    """What is in the files of a folder: its single mails together, every other archive by itself."""
    mails = []
    for name in names:
        path = folder / name
        # Broken links, sockets and the like are no mail, and nobody named them.
        if not path.is_file():
            continue
        try:
            kind = _kind(path)
            if kind is Kind.MAIL:
                mails.append(name)
            elif kind is not Kind.EMPTY and (archive := _made(path, kind)) is not None:
                yield archive
        except ArchiveError as error:
            problem(str(error))
    if mails:
        yield MailFolder(folder, mails, problem)


def _of_file(path: Path, problem: Problem) -> Archive | None:
    kind = _kind(path)
    return MailFolder(path.parent, [path.name], problem) if kind is Kind.MAIL else _made(path, kind)


def _made(path: Path, kind: Kind) -> Archive | None:
    if kind is Kind.GZIP:
        inner = _kind_in_gzip(path)
        if inner in {Kind.MBOX, Kind.MAIL, Kind.EMPTY}:
            return Gzipped(path)
        return Tar(path) if inner is Kind.TAR else None
    return _FILES[kind](path) if kind in _FILES else None


def _kind(path: Path) -> Kind:
    with reading(path) as file:
        return kind_of(file.read(PEEK_BYTES))


def _kind_in_gzip(path: Path) -> Kind:
    with reading(path) as file, gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        return Stream(unpacked, str(path)).kind()


def _unreadable(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}. remedy: check your right to read it"
