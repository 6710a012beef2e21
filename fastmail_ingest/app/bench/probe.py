"""What runs inside the workers of a benchmark: the handler, and the journal that times each mail.

Both are in the same process: the handler notes when a mail was due, the journal takes that out when
the mail is settled. Records go to a file a process, one write a settlement.
"""

import os
import time
from array import array
from pathlib import Path

from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Settlement
from fastmail_ingest.simulator import DUE_HEADER

# A record is a pair of doubles: UID, latency in s.
_due: dict[str, float] = {}  # identity -> time.monotonic() at which the schedule wanted it delivered


def handle(email: Email) -> None:
    """Parse what most handlers need."""
    if email.subject is not None and email.sender is not None and email.text is not None:
        due = email.header(DUE_HEADER)
        if due:
            _due[email.id] = float(due)


class LatencyJournal:
    """Records the UID and the latency of each settled mail."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(
            directory / f"{os.getpid()}.records", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    def taken(self, count: int) -> None:
        """Nothing is measured here."""

    def settled(self, settlement: Settlement, ignored: int) -> None:
        """Latency from the scheduled delivery if there was one, else from the fetch."""
        now, monotonic_now = time.time(), time.monotonic()
        records = array("d")
        for columns in settlement.done.values():
            for identity, fetched_at in zip(columns.identities, columns.fetched_at, strict=True):
                due = _due.pop(identity, None) if _due else None
                records.append(int(identity.rpartition(":")[2]))
                records.append(now - fetched_at if due is None else monotonic_now - due)
        os.write(self._file, records.tobytes())


def read_records(directory: Path) -> tuple[list[int], list[float]]:
    """All UIDs and all latencies (s), of all workers."""
    records = array("d")
    for path in sorted(directory.glob("*.records")):
        records.frombytes(path.read_bytes())
    return [int(uid) for uid in records[0::2]], list(records[1::2])
