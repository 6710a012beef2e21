"""The archives: an mbox (gzipped or not), a zip or tar with mails in it, a folder of mails."""

import gzip
import hashlib
import os
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from fastmail_ingest.archive import normal
from fastmail_ingest.archive.headers import SPARSE, Header
from fastmail_ingest.archive.stream import BROKEN, Stream, broken
from fastmail_ingest.errors import ArchiveError
from fastmail_ingest.model.archived import Archived

_FINGERPRINT_BYTES = 64 * 1024
_FINGERPRINT_DIGITS = 16
_BUFFER_BYTES = 128 * 1024
# Of a Maildir's file name (cr.yp.to/proto/maildir.html): what comes behind ":2,".
_LETTERS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft", "T": "\\Deleted"}

Problem = Callable[[str], None]
"""Hears of what cannot be read, where all else goes on."""


class Archive(ABC):
    """Mails in a file or folder, in an order that stays, so that one can go on at a position.

    `size` is in bytes on the disk, `done` how many of them are read; `fingerprint` is another one when the
    archive has changed. `ignored` files in it were no mail.
    """

    def __init__(self, path: Path, size: int, fingerprint: str) -> None:
        self.path = path
        self.size = size
        self.fingerprint = fingerprint
        self.done = 0
        self.ignored = 0

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.name.encode("utf-8", "replace").decode()

    @abstractmethod
    def mails(self, position: int, max_mail: int) -> Iterator[Archived]:
        """The mails behind `position`; those above `max_mail` bytes keep their beginning only.

        Raises ArchiveError where it cannot be read on, ArchiveChanged if the position means nothing any more.
        """


class FileArchive(Archive):
    """An archive that is one file."""

    def __init__(self, path: Path) -> None:
        with reading(path) as file:
            size = os.fstat(file.fileno()).st_size
            begin = file.read(_FINGERPRINT_BYTES)
        digest = hashlib.sha256(b"%d\0" % size + begin).hexdigest()
        super().__init__(path, size, digest[:_FINGERPRINT_DIGITS])

    def mails(self, position: int, max_mail: int) -> Iterator[Archived]:
        """See Archive."""
        with reading(self.path) as file:
            for mail in self._mails(file, position, max_mail):
                self.done = file.tell()
                yield mail
            if os.fstat(file.fileno()).st_size != self.size:
                raise ArchiveError(
                    f"{self.path}: was written while it was read, its last mail may be cut. remedy: import "
                    "it again when nobody writes to it: no mail comes twice"
                )
        self.done = self.size

    @abstractmethod
    def _mails(self, file: IO[bytes], position: int, max_mail: int) -> Iterator[Archived]: ...


class Mbox(FileArchive):
    """An mbox; positions are bytes in it."""

    def _mails(self, file: IO[bytes], position: int, max_mail: int) -> Iterator[Archived]:
        where = str(self.path)
        rules = Stream(file, where).rules(max_mail)
        file.seek(position)
        return Stream(file, where, position).mbox(max_mail, rules)


class Gzipped(FileArchive):
    """An mbox, or one mail, in gzip; positions are bytes in what comes out."""

    def _mails(self, file: IO[bytes], position: int, max_mail: int) -> Iterator[Archived]:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            stream = Stream(unpacked, str(self.path))
            yield from stream.mbox_behind(position, max_mail) if position else stream.mails(max_mail)


class Zip(FileArchive):
    """Files in a zip, one after the other; positions are bytes in all that is before, unpacked."""

    def _mails(self, file: IO[bytes], position: int, max_mail: int) -> Iterator[Archived]:
        begin = 0
        with self._opened(file) as unpacked:
            for member in unpacked.infolist():
                end = begin + member.file_size
                if not member.is_dir() and end > position:
                    yield from self._member(unpacked, member, (begin, position), max_mail)
                begin = end

    def _opened(self, file: IO[bytes]) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(file)
        except BROKEN as error:
            raise broken(str(self.path), error) from error

    def _member(
        self, unpacked: zipfile.ZipFile, member: zipfile.ZipInfo, at: tuple[int, int], max_mail: int
    ) -> Iterator[Archived]:
        where = f"{self.path}: {member.filename}"
        try:
            file = unpacked.open(member)
        except BROKEN as error:
            raise broken(where, error) from error
        with file:
            yield from _mails_of_member(self, Stream(file, where, at[0]), at[1], max_mail)


class Tar(FileArchive):
    """Files in a tar, gzipped or not; positions are bytes in the tar, unpacked."""

    def _mails(self, file: IO[bytes], position: int, max_mail: int) -> Iterator[Archived]:
        where = str(self.path)
        try:
            unpacked = tarfile.open(fileobj=file, mode="r|*", tarinfo=Header)  # noqa: SIM115 - closed below
        except BROKEN as error:
            raise broken(where, error) from error
        with closing(unpacked):
            while (member := self._next(unpacked)) is not None:
                if member.isreg() and member.offset_data + member.size > position:
                    content = unpacked.extractfile(member)
                    if content is not None:
                        stream = Stream(content, f"{where}: {member.name}", member.offset_data)
                        yield from _mails_of_member(self, stream, position, max_mail)

    def _next(self, unpacked: tarfile.TarFile) -> tarfile.TarInfo | None:
        try:
            unpacked.members = []  # type: ignore[attr-defined]  # it would remember them all
            found = unpacked.next()
            if found is not None and found.issparse():
                raise tarfile.ReadError(SPARSE)
            return found
        except BROKEN as error:
            raise broken(str(self.path), error) from error


def _mails_of_member(archive: Archive, stream: Stream, position: int, max_mail: int) -> Iterator[Archived]:
    if position > stream.position:
        yield from stream.mbox_behind(position, max_mail)
        return
    found = False
    for mail in stream.mails(max_mail):
        found = True
        yield mail
    archive.ignored += not found


class MailFolder(Archive):
    """Files with one mail each in one folder; positions count them."""

    def __init__(self, path: Path, names: Sequence[str], problem: Problem) -> None:
        self._names = sorted(names, key=_lasting)
        self._problem = problem
        digest, size = hashlib.sha256(os.fsencode(path.resolve())), 0
        for name in self._names:
            size += _stated(path / name, digest.update)
        super().__init__(path, size, digest.hexdigest()[:_FINGERPRINT_DIGITS])

    def mails(self, position: int, max_mail: int) -> Iterator[Archived]:
        """See Archive."""
        for number in range(position, len(self._names)):
            name = self._names[number]
            self.done = self.size * number // len(self._names)
            try:
                mail = self._mail(name, number + 1, max_mail)
            except ArchiveError as error:
                self._problem(str(error))
            else:
                yield mail
        self.done = self.size

    def _mail(self, name: str, position: int, max_mail: int) -> Archived:
        path = self.path / name
        with reading(path) as file:
            raw = file.read(max_mail + 1)
            found = os.fstat(file.fileno())
        mail = normal.from_file(raw, max(found.st_size, len(raw)), position, max_mail)
        folder, _, _ = name.rpartition("/")
        if folder in {"cur", "new"}:
            _, _, letters = name.rpartition(":2,")
            mail.flags = (
                tuple(_LETTERS[letter] for letter in letters if letter in _LETTERS) if ":2," in name else ()
            )
            mail.internal_date = found.st_mtime  # as Dovecot, too, takes it
        return mail


def _lasting(name: str) -> str:
    """What of a Maildir's file name stays when its flags change, or it is no longer new."""
    return name.rpartition("/")[2].partition(":2,")[0]


def _stated(path: Path, update: Callable[[bytes], object]) -> int:
    """The size of a file; it is told with name and time to `update`."""
    update(os.fsencode(path.name))
    try:
        found = path.stat()
    except OSError:
        return 0  # reading it will tell
    update(b"\0%d\0%d\0" % (found.st_size, found.st_mtime_ns))
    return found.st_size


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """A regular file, open for reading; whatever else it is, ArchiveError says so and nobody waits for it."""
    try:
        # A named pipe would let us wait for somebody to write.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ArchiveError(
            f"{path}: {error.strerror}. remedy: check the path and your right to read it"
        ) from error
    with os.fdopen(descriptor, "rb", buffering=_BUFFER_BYTES) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArchiveError(f"{path}: is no regular file. remedy: name a file or a folder with mails")
        try:
            yield file
        except OSError as error:
            raise broken(str(path), error) from error
