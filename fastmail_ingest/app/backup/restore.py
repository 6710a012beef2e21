"""`restore`: looks at a backup, says how to put it back, or does it."""

import tempfile
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup.check import Candidate, examined
from fastmail_ingest.app.backup.given_target import restore_given, state_of
from fastmail_ingest.app.backup.instructions import by_hand
from fastmail_ingest.app.backup.own_target import die_with_us, restore_own
from fastmail_ingest.app.backup.rehearsal import Restored, rehearsed
from fastmail_ingest.app.backup.telling import say_how, say_restored
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.stopping import stopping
from fastmail_ingest.config import Config, mask_url
from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.private_server import PrivateServer
from fastmail_ingest.stream.server import OwnServer, find_binaries, find_binary
from fastmail_ingest.stream.snapshot import Wait


class RestoreOrder(msgspec.Struct, frozen=True):
    """What is asked for: with neither of the two, only to be told how."""

    path: Path
    force: bool = False
    dry_run: bool = False


def restore(config: Config, order: RestoreOrder, *, as_json: bool) -> None:
    """Do what is asked for, and print what came of it.

    Raises BackupError, ConfigError and UnavailableError with reason and remedy; then all is as it was.
    """
    with stopping() as stopper:

        def wait(seconds: float) -> None:
            if not stopper.wait(seconds):
                raise BackupError("stopped; all is as it was")

        candidate = _examined(config, order.path, wait)
        if order.dry_run:
            say_restored(candidate, _dry_run(config, candidate, wait), done=False, as_json=as_json)
        elif order.force:
            put_back = restore_given if config.redis.url else restore_own
            say_restored(candidate, put_back(config, candidate, wait), done=True, as_json=as_json)
        else:
            say_how(candidate, by_hand(config, candidate), as_json=as_json)


def _examined(config: Config, path: Path, wait: Wait) -> Candidate:
    size = path.stat().st_size if path.is_file() else 0
    with words.progress("checksum", size) as bar:

        def step(count: int) -> None:
            bar(count)
            wait(0.0)

        binaries = find_binaries() or [find_binary()]  # which says what to do if there is none
        return examined(path.absolute(), config.redis.prefix, binaries, config.backup.timeout, step)


def _dry_run(config: Config, candidate: Candidate, wait: Wait) -> Restored:
    data_dir = Path(config.redis.data_dir)
    with tempfile.TemporaryDirectory(prefix="fmi-") as directory:
        server = PrivateServer(candidate.binary, Path(directory), die_with_us, config.backup.timeout, wait)
        with rehearsed(config, candidate, server) as ready:
            found = Restored(str(data_dir), ready.revived, ready.large)
    if config.redis.url:
        found.target, found.notes = mask_url(config.redis.url), state_of(config)
    elif OwnServer(Path(), data_dir).answers():
        found.notes.append("fastmail-ingest is at work on it: it has to be stopped first")
    return found
