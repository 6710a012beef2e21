"""A backup into our own server, which stands still meanwhile."""

import signal
from datetime import UTC, datetime
from pathlib import Path

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.app.backup.rehearsal import Restored, put_back, rehearsed
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config
from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream import swap
from fastmail_ingest.stream.private_server import PrivateServer
from fastmail_ingest.stream.rdb import expendable
from fastmail_ingest.stream.server import OwnServer, find_binary
from fastmail_ingest.stream.snapshot import Wait
from fastmail_ingest.supervisor.child import die_with_parent


def restore_own(config: Config, candidate: Candidate, wait: Wait) -> Restored:
    """Put it in place of the data that are there, which are kept beside it.

    Raises UnavailableError while somebody works on them; until all is ready, nothing is touched.
    """
    data_dir, binary = Path(config.redis.data_dir), find_binary()
    OwnServer(binary, data_dir).prepare()
    try:
        directory = swap.staged(data_dir)
        server = PrivateServer(candidate.binary, directory, die_with_us, config.backup.timeout, wait)
        with rehearsed(config, candidate, server) as ready:
            # What another server has loaded, ours understands as commands only.
            server.write_file(as_commands=candidate.binary != binary)
            server.stop()
        put_back(ready.large, BlobDirectory(Path(config.blobs.directory)), candidate)
        kept = swap.exchange(data_dir, f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    except OSError as error:
        raise BackupError(
            f"{candidate.path} could not be put back: {error.strerror or error} ({error.filename}). "
            "remedy: make room there, and restore once more"
        ) from error
    finally:
        swap.discard(data_dir)
    return Restored(str(data_dir), ready.revived, ready.large, kept=str(kept or ""))


def die_with_us() -> None:
    """In the process that becomes the private server: it shall not outlive a restore that is killed."""
    expendable()
    die_with_parent(signal.SIGKILL)
