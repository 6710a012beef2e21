"""A backup brought to life in a Redis of its own: what is in it, and what has to be done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.app.operate import words
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config
from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.private_server import PrivateServer
from fastmail_ingest.stream.revival import Revival, Revived
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.snapshot import database_of

_CHUNK_BYTES = 1024 * 1024


class LargeMails(msgspec.Struct):
    """Large mails of the backup: how many there are, the bytes of which have to be put back, and of which are
    nowhere. By the names of their blobs.
    """

    count: int = 0
    to_put_back: list[str] = []
    missing: list[str] = []


class Rehearsal(msgspec.Struct):
    """A backup that is fit to be worked on, in a server that still runs."""

    revival: Revival
    revived: Revived
    large: LargeMails


class Restored(msgspec.Struct):
    """What was done, or would be: into what, and where what was there before is kept ("": nothing was)."""

    target: str
    revived: Revived
    large: LargeMails
    kept: str = ""
    notes: list[str] = []


@contextmanager
def rehearsed(config: Config, candidate: Candidate, server: PrivateServer) -> Iterator[Rehearsal]:
    """Load it and make it fit; raises BackupError if there is nothing of ours in it."""
    prefix = config.redis.prefix
    with server:
        server.start(candidate.path)
        with words.progress("load", words.PERCENT) as bar:
            server.wait_until_loaded(words.share(bar))
        arguments = Arguments(Keys(prefix), config.ledger.keep_days)
        with Revival(server.url(database_of(config.redis.url)), "", arguments) as revival:
            if revival.is_empty():
                raise BackupError(_nothing_of_ours(candidate.path, prefix, revival.prefixes()))
            revived = revival.run()
            large = _sorted_out(revival.large(), BlobDirectory(Path(config.blobs.directory)), candidate)
            yield Rehearsal(revival, revived, large)


def put_back(large: LargeMails, blobs: BlobDirectory, candidate: Candidate) -> None:
    """Put the bytes of large mails where they are looked for. Raises what writing them raises."""
    if not large.to_put_back:
        return
    blobs.prepare()
    with words.progress("large mails", len(large.to_put_back)) as bar:
        for name in large.to_put_back:
            draft = blobs.begin()
            with candidate.blobs[_end_of(name)].open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    draft.write(chunk)
            draft.commit(name)
            bar(1)


def _sorted_out(names: list[str], blobs: BlobDirectory, candidate: Candidate) -> LargeMails:
    found = LargeMails(len(names))
    for name in names:
        if blobs.has(name):
            continue
        (found.to_put_back if _end_of(name) in candidate.blobs else found.missing).append(name)
    return found


def _end_of(name: str) -> str:
    return name.rpartition("/")[2]


def _nothing_of_ours(path: Path, prefix: str, others: list[str]) -> str:
    there = f"it holds {', '.join(map(words.clean, others))}" if others else "it holds no stream at all"
    return (
        f"{path} holds nothing under the prefix {prefix!r}: {there}. "
        "remedy: use the configuration that it was made with, or another file"
    )
