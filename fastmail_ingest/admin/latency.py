"""How long new mails take from fetched to done: quantiles of the last seconds, from all workers' metrics."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias

from fastmail_ingest.policy.quantile import quantile, since

_log = logging.getLogger(__name__)

EVERY_S = 5.0
QUANTILES = (0.5, 0.95, 0.99)

Buckets: TypeAlias = Callable[[], Mapping[float, float]]


class LatencyLook:
    """A thread that reads the metrics now and then: with many workers that takes a while."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._before: Mapping[float, float] = {}
        self._found: tuple[float, ...] | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="latency-look", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def take(self) -> tuple[float, ...] | None:
        """The QUANTILES in ms of what was done between the last two looks; None if that was told before."""
        found, self._found = self._found, None
        return found

    def look(self) -> None:
        """Look now."""
        now = self._buckets()
        new = since(now, self._before)
        self._before = now
        found = [quantile(new, q) for q in QUANTILES]
        self._found = tuple(round(each * 1000, 3) for each in found if each is not None) or None

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:
                _log.exception("the latencies cannot be told")
            self._stopping.wait(EVERY_S)
