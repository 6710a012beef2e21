"""What the HTTP server is given by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fastmail_ingest.admin.guard import Guard
from fastmail_ingest.admin.letters import Letters
from fastmail_ingest.admin.threads import Threads
from fastmail_ingest.admin.watch import Watch
from fastmail_ingest.stream.schedule import RetrySchedule


class Metrics(Protocol):
    """All metrics of all processes, in the format that the scraper asks for."""

    def render(self, accept: str) -> tuple[bytes, str]:
        """Body and Content-Type for a scraper with this Accept header; may take long."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything that requests are answered from."""

    guard: Guard
    watch: Watch
    threads: Threads
    letters: Letters
    retries: RetrySchedule
    metrics: Metrics
    stopping: Callable[[], bool]
