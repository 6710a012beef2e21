"""A restored stream into a Redis that runs: brought under other names, then put in place at one stroke.

It is brought as commands, which any server understands, whatever wrote the snapshot. Keys of other programs,
and of other prefixes, stay as they are; until the last step the stream does, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import redis.exceptions

from fastmail_ingest.errors import BackupError, UnavailableError
from fastmail_ingest.stream.keys import glob_of
from fastmail_ingest.stream.reach import Tool
from fastmail_ingest.stream.snapshot import Show, Wait, database_of

_SCAN = 1000
_COMMANDS_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024


class Transplant(Tool):
    """Works on the Redis that is restored into. Methods raise StreamUnavailable."""

    scripts = ("exchange",)

    def supervisors(self) -> list[str]:
        """Those whose lease lives: they work on it, or did until a moment ago."""
        with self._reached():
            found = self._redis.scan_iter(match=glob_of(self._keys.nodes), count=_SCAN)
            return sorted(key.decode("utf-8", "replace")[len(self._keys.nodes) :] for key in found)

    def is_empty(self) -> bool:
        """Whether there is no key under the prefix."""
        with self._reached():
            return not any(self._redis.scan_iter(match=self._keys.everything, count=_SCAN))

    def bring(self, commands: Path, show: Show, wait: Wait) -> None:
        """Send all commands of an append-only file, which makes keys under the names for what is restored.

        Raises BackupError if Redis refuses one: it may have no memory for both.
        """
        self.clear()
        size = max(1, commands.stat().st_size)
        with commands.open("rb") as file, self._reached():
            for batch in _batches(file, self._keys.restoring.encode(), database_of(self._url)):
                pipe = self._redis.pipeline(transaction=False)
                for words in batch:
                    pipe.execute_command(*words)  # type: ignore[no-untyped-call]
                try:
                    pipe.execute()
                except redis.exceptions.ResponseError as error:
                    raise BackupError(
                        f"Redis refuses what is to be restored: {error}. remedy: it needs memory for both, "
                        "the stream that is there and the restored one, and a user who may write all keys"
                    ) from error
                show(file.tell() / size)
                wait(0.0)

    def exchange(self) -> None:
        """Put what was brought in place of what is there. Raises UnavailableError while a supervisor is."""
        keys = self._keys
        globs: list[Any] = [
            keys.everything, f"{keys.base}:", glob_of(keys.restoring), keys.restoring, glob_of(keys.nodes),
        ]  # fmt: skip
        with self._reached():
            removed, _ = self._scripts["exchange"]([keys.again], globs)
        if removed < 0:
            raise at_work(self.supervisors())

    def clear(self) -> None:
        """Remove what was brought and not put in place."""
        with self._reached():
            found = list(self._redis.scan_iter(match=glob_of(self._keys.restoring), count=_SCAN))
            for at in range(0, len(found), _SCAN):
                self._redis.unlink(*found[at : at + _SCAN])


def at_work(supervisors: list[str]) -> UnavailableError:
    """The refusal to restore under somebody's hands."""
    return UnavailableError(
        f"fastmail-ingest is at work on it: {', '.join(supervisors)}. remedy: stop it on all hosts; of one "
        "that was killed the lease runs out within [supervisor] lease"
    )


def _batches(file: BinaryIO, wanted: bytes, database: int) -> Iterator[list[list[bytes]]]:
    """The commands for keys that begin so, in parts that are sent at once."""
    batch: list[list[bytes]] = []
    size, ours = 0, database == 0
    for words in _commands(file):
        if words[0].upper() == b"SELECT":
            ours = int(words[1]) == database
        elif ours and _key_of(words).startswith(wanted):
            batch.append(words)
            size += sum(map(len, words))
            if len(batch) >= _COMMANDS_AT_ONCE or size >= _BYTES_AT_ONCE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _commands(file: BinaryIO) -> Iterator[list[bytes]]:
    """The commands in an append-only file (RESP arrays of bulk strings)."""
    while head := file.readline():
        words: list[bytes] = []
        for _ in range(int(head[1:])):
            words.append(file.read(int(file.readline()[1:])))
            file.read(2)  # the line's end
        yield words


def _key_of(words: list[bytes]) -> bytes:
    """The key that a command of a rewritten append-only file is about."""
    at = 2 if words[0].upper() == b"XGROUP" else 1
    return words[at] if len(words) > at else b""
