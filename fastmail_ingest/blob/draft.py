"""A blob that is being written into a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fastmail_ingest.errors import BlobUnavailable

_BUFFER_BYTES = 256 * 1024


class FileDraft:
    """Written under a passing name, and moved to its own when all of it is on disk.

    If we die before that, the file is left behind: whoever sweeps the directory removes it when it is old.
    `drop` removes a blob that was committed; it raises OSError.
    """

    def __init__(self, place: Path, place_of: Callable[[str], Path], drop: Callable[[Path], None]) -> None:
        self._place = place
        self._place_of = place_of
        self._drop = drop
        self._committed = False
        self._error: OSError | None = None
        self._file: BinaryIO | None = None
        try:
            self._file = open(place, "xb", buffering=_BUFFER_BYTES, opener=private)  # noqa: SIM115 - closed by commit
        except OSError as error:
            self._error = error

    def write(self, chunk: bytes) -> None:
        """Add some bytes. Never raises: what went wrong is said by `commit`."""
        if self._file is None:
            return
        try:
            self._file.write(chunk)
        except OSError as error:
            self._fail(error)

    def commit(self, name: str) -> None:
        """Make them durable as the blob `name`, in place of an older one. Raises BlobUnavailable."""
        target = self._place_of(name)
        if self._file is not None:
            try:
                self._publish(self._file, target)
            except OSError as error:
                self._fail(error)
        if self._error is not None:
            raise _unwritable(target.parent.parent, self._error) from self._error

    def _publish(self, file: BinaryIO, target: Path) -> None:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._file = None
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            sync_directory(target.parent.parent)
        self._place.replace(target)
        # Before this the name may be gone after a power cut: nothing may refer to it yet.
        sync_directory(target.parent)
        self._place, self._committed = target, True

    def _fail(self, error: OSError) -> None:
        """Give the room back at once: the disk may be full."""
        self._error = error
        self.remove()

    def renew(self) -> None:
        """Say that the blob is needed. Raises BlobUnavailable if it is gone."""
        try:
            os.utime(self._place)
        except OSError as error:
            raise _unwritable(self._place.parent.parent, error) from error

    def discard(self) -> None:
        """Remove what was written if it was not committed. Never raises."""
        if not self._committed:
            self.remove()

    def remove(self) -> None:
        """Remove what was written, blob or not. Never raises."""
        file, self._file = self._file, None
        try:
            if self._committed:
                self._drop(self._place)
            else:
                self._place.unlink(missing_ok=True)
        except OSError as error:
            self._error = self._error or error
        if file is not None:
            _close(file)

    def __del__(self) -> None:
        self.discard()


def private(path: str, flags: int) -> int:
    """An opener for files that are readable for us alone."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _close(file: BinaryIO) -> None:
    """Close a file whose content does not matter: what is still in the buffer may find no room."""
    try:
        file.close()
    except OSError:
        return


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, see fsync(2)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> BlobUnavailable:
    return BlobUnavailable(
        f"a large mail cannot be kept in {directory}: {error.strerror}. remedy: make room there or mend it, "
        "or raise [blobs] inline_limit; small mails go on"
    )
