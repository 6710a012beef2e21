"""The file that a grant is kept in: for its owner alone, replaced as a whole, one writer at a time."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from fastmail_ingest.credential.grant import VERSION, Grant
from fastmail_ingest.errors import ConfigError, TokenUnavailable

FILE_BYTES_MAX = 1024 * 1024
# Longer than one renewal can take, see transport.DEADLINE_S.
LOCK_WAIT_S = 30.0
_LOOK_EVERY_S = 0.02


class _Head(Struct):
    version: int


class TokenFile:
    """One account's grant on disk. `remedy` says how to have the file written anew."""

    def __init__(self, path: str, remedy: str) -> None:
        # What a link points to is replaced, not the link.
        self.path = Path(os.path.realpath(path))
        self._remedy = remedy
        self._lock = self.path.with_name(f"{self.path.name}.lock")
        self._new = self.path.with_name(f".{self.path.name}.new")

    def read(self) -> Grant | None:
        """The grant, None if there is no file. Raises ConfigError if the file is not safe, or not ours."""
        raw = self._read_bytes()
        if raw is None:
            return None
        try:
            version = msgspec.json.decode(raw, type=_Head).version
            if version > VERSION:
                raise ConfigError(
                    f"{self.path}: written by a newer fastmail-ingest. remedy: install that version, or "
                    f"{self._remedy}"
                )
            return msgspec.json.decode(raw, type=Grant)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            # What the decoder says may quote the file.
            raise ConfigError(
                f"{self.path}: expected tokens, got something else. remedy: {self._remedy}"
            ) from None

    def _read_bytes(self) -> bytes | None:
        try:
            # Not to block on what is no file; it is refused below.
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._not_readable(error) from None
        try:
            # Before open() sees it: that raises for a directory, and leaves the descriptor open.
            self._refuse_exposed(os.fstat(fd))
            with open(fd, "rb", closefd=False) as file:
                return file.read(FILE_BYTES_MAX)
        except OSError as error:
            raise self._not_readable(error) from None
        finally:
            os.close(fd)

    def _not_readable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self.path}: expected a readable file, got: {error.strerror}. remedy: check token_file and "
            "who may read it"
        )

    def _refuse_exposed(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{self.path}: expected a file, got something else. remedy: change token_file")
        if status.st_uid != os.geteuid():
            raise ConfigError(
                f"{self.path}: expected a file of our own, but it belongs to user {status.st_uid} and we run "
                f"as {os.geteuid()}. remedy: run as that user, or chown {os.geteuid()} {self.path}"
            )
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"{self.path}: expected a file that only its owner may open, got mode "
                f"{stat.S_IMODE(status.st_mode):03o}. remedy: chmod 600 {self.path}; if others may have read "
                "it, revoke the grant and set it up again"
            )

    def write(self, grant: Grant) -> None:
        """Replace the file. Only under `locked`. If we die here, the old file or the new one is there.

        Raises TokenUnavailable if the disk does not take it.
        """
        data = msgspec.json.format(msgspec.json.encode(grant), indent=2) + b"\n"
        try:
            with suppress(FileNotFoundError):
                self._new.unlink()  # of one who died
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(self._new, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._new, self.path)
            self._sync_directory()
        except OSError as error:
            raise self._not_written(error) from None

    def remove(self) -> None:
        """Delete the file. Only under `locked`; the lock file stays, others may be waiting for it."""
        for path in (self._new, self.path):
            with suppress(FileNotFoundError):
                path.unlink()
        self._sync_directory()

    def _sync_directory(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one, in all processes and threads, who renews or replaces the grant.

        Raises TokenUnavailable if others do not let go. The kernel releases the lock of one who dies.
        """
        try:
            # Opened each time: flock(2) then keeps threads of one process apart, too.
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._not_written(error) from None
        try:
            self._wait_for(fd)
            yield
        finally:
            # Not by closing alone: a child that was forked meanwhile would hold it on.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _wait_for(self, fd: int) -> None:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TokenUnavailable(
                        f"{self._lock}: another process holds it for {LOCK_WAIT_S:.0f} s"
                    ) from None
            time.sleep(_LOOK_EVERY_S)

    def _not_written(self, error: OSError) -> TokenUnavailable:
        return TokenUnavailable(
            f"{self.path}: cannot be written: {error.strerror}. remedy: its directory must be writable for "
            "us, on a disk that is not full"
        )
