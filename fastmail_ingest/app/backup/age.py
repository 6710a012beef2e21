"""When the newest good backup was taken, for the metrics page: an unchanged directory is not read again."""

from pathlib import Path

from fastmail_ingest.app.backup.store import BackupStore


class BackupAge:
    """Looks at the backups of one prefix in one directory."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix
        self._changed_ns = -1
        self._newest_at = 0.0

    def newest_at(self) -> float | None:
        """Epoch s; 0.0 if none is whole, None without the directory. Raises OSError."""
        try:
            changed_ns = self._directory.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        # A backup comes and goes by renaming its manifest, which changes the directory.
        if changed_ns != self._changed_ns:
            newest = BackupStore(self._directory).newest_whole(self._prefix)
            self._newest_at = newest.manifest.taken_at if newest and newest.manifest else 0.0
            self._changed_ns = changed_ns
        return self._newest_at
