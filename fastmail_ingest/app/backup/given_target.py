"""A backup into a Redis that is not ours, and goes on running."""

from pathlib import Path

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.app.backup.make import make
from fastmail_ingest.app.backup.own_target import die_with_us
from fastmail_ingest.app.backup.rehearsal import Restored, put_back, rehearsed
from fastmail_ingest.app.backup.store import BackupStore
from fastmail_ingest.app.operate import words
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config, mask_url
from fastmail_ingest.errors import BackupError, FastmailIngestError
from fastmail_ingest.stream.private_server import PrivateServer
from fastmail_ingest.stream.snapshot import Wait
from fastmail_ingest.stream.transplant import Transplant, at_work


def restore_given(config: Config, candidate: Candidate, wait: Wait) -> Restored:
    """Put it in place of the stream that is there, of which a backup is made first.

    Raises UnavailableError while a supervisor works on it; until all is ready, nothing is touched.
    """
    directory = Path(config.backup.directory)
    with Transplant.of(config) as transplant:
        if supervisors := transplant.supervisors():
            raise at_work(supervisors)
        kept = "" if transplant.is_empty() else str(make(config, directory, keep=None).path)
        store = BackupStore(directory)
        store.prepare()
        try:
            with store.locked(), store.scratch() as room:
                restored = _brought(config, candidate, transplant, room, wait)
                transplant.exchange()
        except OSError as error:
            raise BackupError(
                f"{candidate.path} could not be put back: {error.strerror or error}. remedy: make room in "
                f"{directory}, and restore once more"
            ) from error
        finally:
            transplant.clear()
    restored.kept = kept
    return restored


def state_of(config: Config) -> list[str]:
    """What keeps it from being restored into now."""
    try:
        with Transplant.of(config) as transplant:
            found = transplant.supervisors()
            return [str(at_work(found))] if found else []
    except FastmailIngestError as error:
        return [str(error)]


def _brought(
    config: Config, candidate: Candidate, transplant: Transplant, room: Path, wait: Wait
) -> Restored:
    server = PrivateServer(candidate.binary, room, die_with_us, config.backup.timeout, wait)
    with rehearsed(config, candidate, server) as ready:
        ready.revival.rename_for_transplant()
        (commands,) = server.write_file(as_commands=True).glob("*.base.aof")
        with words.progress("bring", words.PERCENT) as bar:
            transplant.bring(commands, words.share(bar), wait)
        put_back(ready.large, BlobDirectory(Path(config.blobs.directory)), candidate)
    return Restored(mask_url(config.redis.url), ready.revived, ready.large)
