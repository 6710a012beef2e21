"""What a worker counts: a few numbers a batch, however many mails are in it."""

import json
import time
from collections import Counter as Tally
from pathlib import Path

from fastmail_ingest.model.entry import Settlement, Shown
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry.dead_files import newest_sums, values_in
from fastmail_ingest.telemetry.exemplars import Exemplars
from fastmail_ingest.telemetry.metrics import BatchHistogram, Capped, counter, harmless, histogram

_NAME_CHARS_MAX = 80


class WorkerMetrics:
    """A journal of the worker (see pipeline.ports). `directory` is where metrics of dead processes are."""

    def __init__(self, directory: Path) -> None:
        self._processed = counter(c.EMAILS_PROCESSED)
        self._failed = counter(c.EMAILS_FAILED)
        self._retries = counter(c.RETRIES)
        self._dead = counter(c.DLQ_MESSAGES)
        self._too_late = counter(c.SETTLED_TOO_LATE)
        self._took = histogram(c.PROCESSING_LATENCY)
        self._end_to_end = histogram(c.END_TO_END_LATENCY)
        self._exemplars = Exemplars(directory)
        # A series that is there from the beginning shows its first rise, too.
        for reason in ("rejected", "retries_exhausted", "undecodable", "too_large"):
            self._dead.labels(reason)
        for kind in ("failure", "postponed"):
            self._retries.labels(kind)
        self._of_lane(Lane.LIVE)
        # What the dead have used up of the cap stays used up: else each new worker could add as many again.
        self._reason = Capped(c.ERRORS_MAX, _reasons_of_the_dead(directory))

    def taken(self, count: int) -> None:
        """What was read is counted when it is settled."""

    @harmless
    def settled(self, settlement: Settlement, ignored: int) -> None:
        """Entries were written down as done, delayed or dead."""
        now = time.time()
        self._processed.inc(max(0, settlement.done_count - ignored))
        if ignored:
            self._too_late.inc(ignored)
        if settlement.took:
            self._took.observe_all(settlement.took)
        for lane, columns in settlement.done.items():
            self._of_lane(lane).observe_ages(now, columns.fetched_at)
        if settlement.delayed or settlement.dead:
            self._count_failures(settlement)
        if settlement.shown is not None:
            self._show(settlement.shown, now)

    def _show(self, mail: Shown, now: float) -> None:
        self._exemplars.note(c.PROCESSING_LATENCY, "", mail.took, mail.trace_id)
        if mail.fetched_at:
            waited = max(0.0, now - mail.fetched_at)
            self._exemplars.note(c.END_TO_END_LATENCY, mail.lane.label, waited, mail.trace_id)

    def _of_lane(self, lane: Lane) -> BatchHistogram:
        return self._end_to_end.labels(lane.label)

    def _count_failures(self, settlement: Settlement) -> None:
        reasons = Tally(
            _class_name(each.error.partition(":")[0]) for each in settlement.delayed if each.counts
        )
        reasons.update(_class_name(each.error_type) for each in settlement.dead)
        for reason, times in reasons.items():
            self._failed.labels(self._reason(reason)).inc(times)
        for counts, times in Tally(each.counts for each in settlement.delayed).items():
            self._retries.labels("failure" if counts else "postponed").inc(times)
        for reason, times in Tally(each.reason for each in settlement.dead).items():
            self._dead.labels(reason).inc(times)


def _class_name(name: str) -> str:
    """A user may name a class in any way; what is no plain name is no label."""
    return name if name.isascii() and name.isidentifier() and len(name) <= _NAME_CHARS_MAX else c.OTHER


def _reasons_of_the_dead(directory: Path) -> set[str]:
    try:
        keys = [json.loads(key) for key in values_in(newest_sums(directory) / "counter_dead.db")]
    except FileNotFoundError:
        return set()  # nobody has died yet, or somebody was added up just now
    return {labels["reason"] for name, _, labels, _ in keys if name == c.EMAILS_FAILED.full_name}
