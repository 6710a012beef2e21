"""`backup`: a snapshot of Redis and the large mails that it names, all of it or nothing."""

import os
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import msgspec

from fastmail_ingest.app.backup import copying
from fastmail_ingest.app.backup.copying import Copied
from fastmail_ingest.app.backup.manifest import FORMAT, Manifest
from fastmail_ingest.app.backup.store import BackupStore
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.stopping import stopping
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config
from fastmail_ingest.errors import BackupError, UncheckedSnapshot
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.stream.network_copy import copy_over_network
from fastmail_ingest.stream.rdb import check_with_any
from fastmail_ingest.stream.server import find_binaries, version_of
from fastmail_ingest.stream.snapshot import Snapshots, opened


class Made(msgspec.Struct):
    """A new backup, and what making it has shown."""

    path: Path
    manifest: Manifest
    removed: list[Path] = []
    notes: list[str] = []
    seconds: float = 0.0


def make(config: Config, directory: Path, keep: int | None) -> Made:
    """Make a backup, and remove those beyond `keep`; None removes nothing.

    Raises BackupError, StreamUnavailable and ConfigError with reason and remedy; then nothing is left of it.
    """
    begun, store = time.monotonic(), BackupStore(directory)
    store.prepare()
    with stopping() as stopper, Snapshots.of(config) as snapshots, store.locked():
        try:
            made = _Maker(config, store, snapshots, stopper).run()
            made.removed = store.retain(config.redis.prefix, keep) if keep is not None else []
        except OSError as error:
            raise BackupError(
                f"the backup cannot be written to {directory}: {error.strerror or error}. remedy: make room "
                "there, or name another one by --directory or [backup] directory"
            ) from error
    made.seconds = time.monotonic() - begun
    return made


class _Maker:
    """Makes one backup; what it has not published is removed by its store."""

    def __init__(self, config: Config, store: BackupStore, snapshots: Snapshots, stopper: Stopper) -> None:
        self._config = config
        self._store = store
        self._snapshots = snapshots
        self._stopper = stopper
        self._timeout_s = config.backup.timeout
        self._notes: list[str] = []

    def run(self) -> Made:
        """From the snapshot to the finished backup."""
        directory = Path(self._config.blobs.directory)
        with ExitStack() as stack:
            if directory.exists():
                # From before the snapshot until all is copied: see `blob/hold.py`.
                stack.enter_context(BlobDirectory(directory).holding())
            else:
                self._notes.append(f"{directory} is not here: no large mail is in this backup")
            now_s, tally = self._snapshots.now_ms() / 1000, self._snapshots.tally()
            space = self._snapshots.blob_space()  # made if it is not there, and then in the snapshot, too
            with self._store.begun(now_s) as draft:
                copied, over_network = self._fetched(draft.rdb)
                found = list(BlobDirectory(directory).held(space)) if directory.exists() else []
                with words.progress("large mails", len(found)) as bar:
                    sizes = copying.keep_blobs(found, draft.blobs, self._step(bar))
                manifest = Manifest(
                    format=FORMAT, taken_at=now_s, program=version("fastmail-ingest"),
                    server=self._snapshots.server(), prefix=self._config.redis.prefix,
                    rdb_bytes=copied.size, rdb_sha256=copied.sha256, blob_space=space,
                    blob_count=len(sizes), blob_bytes=sum(sizes), counts=tally,
                    checked_by=self._checked_by(draft.rdb), over_network=over_network,
                )  # fmt: skip
                return Made(draft.publish(manifest), manifest, notes=self._notes)

    def _fetched(self, target: Path) -> tuple[Copied, bool]:
        """The snapshot in a file of ours, and whether it came over the network."""
        place = self._snapshots.place() if self._snapshots.is_here() else None
        if place is not None and (file := self._written(place)) is not None:
            with file, words.progress("copy", os.fstat(file.fileno()).st_size) as bar:
                copied = copying.copy(file, target, self._step(bar))
            if not self._config.redis.url:
                # Our own server has no use for it: it would only take room, and hold mails.
                place.unlink(missing_ok=True)
            return copied, False
        password = self._config.redis.password
        with words.busy("snapshot over the network"):
            copy_over_network(self._snapshots.url, password, target, self._timeout_s, self._wait)
        with words.progress("checksum", target.stat().st_size) as bar:
            return copying.made_durable(target, self._step(bar)), True

    def _written(self, place: Path) -> BinaryIO | None:
        before = place.stat() if place.exists() else None
        with words.progress("snapshot", words.PERCENT) as bar:
            self._snapshots.take(self._timeout_s, words.share(bar), self._wait)
        return opened(place, before)

    def _checked_by(self, rdb: Path) -> str:
        """The server whose checker has read all of it; raises BackupError if it is damaged."""
        why: object = "there is no redis-server and no valkey-server on PATH"
        if binaries := find_binaries():
            try:
                with words.busy("check"):
                    return version_of(check_with_any(rdb, binaries, self._timeout_s)[0])
            except UncheckedSnapshot as error:
                why = error
        self._notes.append(f"only its checksum was taken, no server has read it: {why}")
        return ""

    def _wait(self, seconds: float) -> None:
        if not self._stopper.wait(seconds):
            raise BackupError("stopped; nothing is left of the unfinished backup")

    def _step(self, bar: words.Bar) -> copying.Step:
        def step(count: int) -> None:
            bar(count)
            self._wait(0.0)

        return step
