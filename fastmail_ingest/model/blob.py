"""Large mails: their bytes wait outside of Redis, in a blob; the entry in the stream has its name.

The name follows from the mail's identity alone. So a blob is needed if and only if that identity is queued,
and who fetches a mail once more writes the same blob once more.
"""

import hashlib
from typing import BinaryIO, Protocol

_NAME_DIGITS = 32


def blob_name(space: str, identity: bytes) -> str:
    """The blob of the mail with this identity (UTF-8), among those of one database, its `space`."""
    return f"{space}/{hashlib.sha256(identity).hexdigest()[:_NAME_DIGITS]}"


class Draft(Protocol):
    """Bytes on their way into a blob. A draft that is dropped without `commit` leaves nothing behind.

    Whoever ends by an error calls `discard`: the error's traceback may hold the draft for long.
    """

    def write(self, chunk: bytes) -> None:
        """Add some bytes. Never raises: what went wrong is said by `commit`, so that reading goes on."""

    def commit(self, name: str) -> None:
        """Make them durable as the blob `name`, in place of an older one. Raises BlobUnavailable."""

    def renew(self) -> None:
        """Say that the blob is needed although nothing in the stream says so yet.

        To be called just before an entry refers to it. Raises BlobUnavailable if it was taken for an orphan.
        """

    def discard(self) -> None:
        """Remove what was written if it was not committed. Never raises."""

    def remove(self) -> None:
        """Remove what was written, blob or not. Never raises."""


class BlobSink(Protocol):
    """Takes blobs in."""

    def begin(self) -> Draft:
        """A new, empty draft. Never raises."""
        ...


class BlobSource(Protocol):
    """Gives blobs out."""

    def open(self, name: str) -> BinaryIO:
        """The blob, to be read and closed. Raises BlobUnavailable."""
        ...
