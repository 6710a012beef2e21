"""What maintenance counts: the work of workers that are gone."""

from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry.metrics import counter, harmless


class MaintenanceMetrics:
    """One a process."""

    def __init__(self) -> None:
        self._claimed = counter(c.ORPHANS_CLAIMED)
        self._failed = counter(c.EMAILS_FAILED)
        self._dead = counter(c.DLQ_MESSAGES)
        # A series that is there from the beginning shows its first rise, too.
        for reason in ("killed_worker", "hung"):
            self._failed.labels(reason)
            self._dead.labels(reason)

    @harmless
    def put_back(self, mails: int) -> None:
        """Mails of those that are gone were given to all."""
        self._claimed.inc(mails)

    @harmless
    def blamed(self, mails: int, reason: str) -> None:
        """Mails were in hand when their worker died; the reason is killed_worker or hung."""
        self._failed.labels(reason).inc(mails)

    @harmless
    def buried(self, mails: int, reason: str) -> None:
        """Mails were in hand at too many deaths and are dead letters now."""
        self._dead.labels(reason).inc(mails)
