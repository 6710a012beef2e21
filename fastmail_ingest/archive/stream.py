"""The bytes of one file, or of one file within another, and the mails in them."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol, cast

from fastmail_ingest.archive import normal
from fastmail_ingest.archive.kinds import PEEK_BYTES, Kind, kind_of
from fastmail_ingest.archive.split import BLOCK_BYTES, Rules, Splitter
from fastmail_ingest.errors import ArchiveChanged, ArchiveError
from fastmail_ingest.model.archived import Archived

# What is read at once is lost as a whole where it breaks.
_STEP_BYTES = 4096
# What reading raises: a broken disk, a broken or cut compression, a zip with a password or an unknown method.
BROKEN = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError,
    RuntimeError, OverflowError, ValueError,
)  # fmt: skip


def broken(where: str, error: BaseException) -> ArchiveError:
    """The error for an archive that cannot be read on."""
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return ArchiveError(
        f"{where}: cannot be read on: {reason}. remedy: what came before is imported; get the file anew, and "
        "import it again: no mail comes twice"
    )


class _Readable(Protocol):
    """A file, packed or not."""

    def read1(self, count: int, /) -> bytes: ...


class Stream:
    """Reads a file on from its beginning, and puts back what was only looked at.

    Where it cannot be read on, everything before that is given first, and then the error.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile, where: str, position: int = 0) -> None:
        # All that we read, packed or not, can do so; their types tell of the least that files can.
        self._file = cast("_Readable", file)
        self._where = where
        self._peeked = b""
        self._error: BaseException | None = None
        self.position = position  # of what `read` gives next

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; b"" at the end. Raises ArchiveError."""
        block = self._peeked or self._read(count)
        self._check(block)
        self._peeked = b""
        self.position += len(block)
        return block

    def _read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer at the end, and where it breaks."""
        block = bytearray()
        while len(block) < count and self._error is None:
            try:
                part = self._file.read1(min(_STEP_BYTES, count - len(block)))
            except BROKEN as error:
                self._error = error
            else:
                if not part:
                    break
                block += part
        return bytes(block)

    def _check(self, block: bytes) -> None:
        if not block and self._error is not None:
            raise broken(self._where, self._error) from self._error

    def peek(self) -> bytes:
        """The next PEEK_BYTES, or all there is. Raises ArchiveError."""
        if len(self._peeked) < PEEK_BYTES:
            self._peeked += self._read(PEEK_BYTES)
        self._check(self._peeked)
        return self._peeked

    def skip_to(self, position: int) -> None:
        """Read over everything before `position`."""
        while self.position < position:
            wanted = position - self.position
            # What was looked at may be more than is to be skipped.
            block = self._peeked or self._read(min(BLOCK_BYTES, wanted))
            self._peeked = block[wanted:]
            self._check(block)
            if not block:
                raise ArchiveChanged(f"{self._where}: it is shorter than it was when it was last read")
            self.position += min(len(block), wanted)

    def kind(self) -> Kind:
        """What begins here."""
        return kind_of(self.peek())

    def mails(self, max_mail: int) -> Iterator[Archived]:
        """The mails of an mbox, or the one mail that this is, from here on."""
        if self.kind() is Kind.MBOX:
            yield from self.mbox(max_mail)
        elif self.kind() is Kind.MAIL:
            yield self._mail(max_mail)

    def rules(self, max_mail: int) -> Rules:
        """How the mbox that begins here is split. Raises ArchiveError."""
        seen = bytearray()

        def read(count: int) -> bytes:
            block = self.read(count)
            seen.extend(block)
            return block

        found = Splitter(read, self.position, max_mail).rules()
        self.position -= len(seen)
        self._peeked = bytes(seen) + self._peeked
        return found

    def mbox_behind(self, position: int, max_mail: int) -> Iterator[Archived]:
        """The mails behind `position` of the mbox that begins here; raises as `mbox`."""
        rules = self.rules(max_mail)
        self.skip_to(position)
        yield from self.mbox(max_mail, rules)

    def mbox(self, max_mail: int, rules: Rules | None = None) -> Iterator[Archived]:
        """The mails of an mbox, from here on; raises ArchiveChanged if none begins here."""
        if (begin := self.peek()) and not begin.startswith(b"From "):
            raise ArchiveChanged(f"{self._where}: no mail begins any more where the last one ended")
        for piece in Splitter(self.read, self.position, max_mail, rules).pieces():
            yield normal.from_mbox(piece, max_mail)

    def _mail(self, max_mail: int) -> Archived:
        raw, size = bytearray(), 0
        while block := self.read(BLOCK_BYTES):
            size += len(block)
            if len(raw) <= max_mail:
                raw += block
        kept = bytes(raw[: max_mail + 1])
        return normal.from_file(kept, size, self.position, max_mail)
