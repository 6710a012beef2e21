"""While a backup is made, blobs that are removed are put aside instead: `<directory>/held`.

The hold begins before the snapshot of Redis. Whoever removes a blob has settled its mail before: so each
blob that the snapshot names is in its place or put aside until the hold ends, none slips through in between.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastmail_ingest.errors import BlobUnavailable

_HELD = "held"
_LOCK = "held.lock"
_JOINT = "+"  # between space and digest in the name of what is put aside; neither has one


class Hold:
    """The hold on one directory of blobs; there may be one at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held = directory / _HELD

    def drop(self, place: Path) -> None:
        """Remove a blob, or put it aside. Raises OSError."""
        try:
            # Tried, not asked for: a hold that begins between a question and an unlink would be missed.
            place.rename(self.aside(place))
        except FileNotFoundError:
            place.unlink(missing_ok=True)

    def aside(self, place: Path) -> Path:
        """Where a blob is found if it was removed during the hold."""
        return self._held / f"{place.parent.name}{_JOINT}{place.name}"

    def put_aside(self, space: str) -> Iterator[tuple[str, Path]]:
        """Name and file of each blob of a database that was removed since the hold began. Raises OSError."""
        for found in sorted(self._held.glob(f"{space}{_JOINT}*")):
            yield found.name.replace(_JOINT, "/", 1), found

    @contextmanager
    def begun(self) -> Iterator[None]:
        """The hold, as long as this context. Raises BlobUnavailable if another one is under way, OSError."""
        with self._locked() as mine:
            if not mine:
                raise BlobUnavailable(
                    f"another backup is being made of {self._directory}. remedy: wait until it has ended"
                )
            self._held.mkdir(mode=0o700, exist_ok=True)
            try:
                yield
            finally:
                self._end()

    def end_abandoned(self) -> None:
        """End the hold of a backup that was killed. Raises OSError."""
        if not self._held.exists():
            return
        with self._locked() as mine:
            if mine:
                self._end()

    def _end(self) -> None:
        while True:
            try:
                shutil.rmtree(self._held)
                return
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                # Something was put aside while we cleared it: then once more.
                if error.errno != errno.ENOTEMPTY:
                    raise

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether the lock is ours. It ends with its process, however that ends."""
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            mine = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                mine = False
            yield mine
        finally:
            os.close(descriptor)
