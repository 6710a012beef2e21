"""What the metrics page is made of, in the process that answers HTTP."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from fastmail_ingest.app.backup.age import BackupAge
from fastmail_ingest.app.credentials import token_file_of
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Account
from fastmail_ingest.errors import FastmailIngestError
from fastmail_ingest.model.snapshot import Snapshot
from fastmail_ingest.supervisor.board import Board
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry import gauges
from fastmail_ingest.telemetry.exposition import Exposition, Reading
from fastmail_ingest.telemetry.metrics_directory import place

_log = logging.getLogger(__name__)

LOOK_AT_DISK_EVERY_S = 15.0


def exposition(runtime: Runtime, table: SlotTable, snapshot: Callable[[], Snapshot]) -> Exposition:
    """All metrics, to be rendered in any thread; `snapshot` gives the last one and does not wait."""
    backups = BackupAge(Path(runtime.config.backup.directory), runtime.config.redis.prefix)
    disk = DiskLook(runtime.blobs, backups, runtime.config.accounts)
    disk.start()
    sources = [
        lambda: gauges.readings(snapshot()),
        lambda: cpu_readings(table.board, snapshot()),
        lambda: disk.seen,
    ]
    return Exposition(place(), table.living, sources)


def cpu_readings(board: Board, snapshot: Snapshot) -> Iterator[Reading]:
    """The CPU time of each role's processes, living and ended, which never falls."""
    living: dict[str, float] = {}
    for process in snapshot.processes:
        living[process.role] = living.get(process.role, 0.0) + _cpu_s(process.pid)
    for row in board:
        yield Reading(c.PROCESS_CPU, row.show_cpu(row.cpu_s + living.pop(row.name, 0.0)), (row.name,))
    for role, seconds in living.items():  # the supervisor's own
        yield Reading(c.PROCESS_CPU, seconds, (role,))


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


class DiskLook:
    """Looks at files from time to time, in a thread of its own: a disk may be far away, and hang."""

    def __init__(self, blobs: BlobDirectory, backups: BackupAge, accounts: Sequence[Account]) -> None:
        self.seen: list[Reading] = []
        self._blobs = blobs
        self._backups = backups
        self._accounts = [each for each in accounts if each.token_file][: c.ACCOUNTS_MAX]
        self._told = ""

    def start(self) -> None:
        """Begin to look; it ends with the process."""
        threading.Thread(target=self._run, name="disk-look", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.seen = self.look()
            except Exception:
                # Without this thread the last look would be shown for good.
                self.seen = []
                _log.exception("looking at files for the metrics failed")
            time.sleep(LOOK_AT_DISK_EVERY_S)

    def look(self) -> list[Reading]:
        """Look now; what cannot be read is left out."""
        found = [reading for account in self._accounts for reading in _token(account)]
        try:
            found.append(Reading(c.BLOBS_BYTES, self._blobs.size()))
            if (taken_at := self._backups.newest_at()) is not None:
                found.append(Reading(c.BACKUP_TIMESTAMP, taken_at))
            self._told = ""
        except OSError as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.warning("what large mails take on disk, or the age of backups, is not known: %s", error)
        return found


def _token(account: Account) -> Iterator[Reading]:
    try:
        grant = token_file_of(account).read()
    except FastmailIngestError:
        grant = None  # whoever logs in with it says what is wrong
    yield Reading(c.TOKEN_REVOKED, float(grant is None or bool(grant.revoked)), (account.name,))
    if grant is not None and grant.expires_at:
        yield Reading(c.TOKEN_EXPIRY, grant.expires_at, (account.name,))
