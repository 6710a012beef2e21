"""The maintenance process: it sees the workers in the slots, and the stream through the ledger."""

import logging
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from fastmail_ingest.app.node import surely_gone
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.app.worker_role import consumer_name, node_of
from fastmail_ingest.errors import EXIT_OK
from fastmail_ingest.model.census import Census
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.maintenance import DeadWorker, Entries, Maintenance
from fastmail_ingest.pipeline.orphans import Orphans
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.supervisor.slots import Slot, SlotTable, State
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.dead_files import absorb
from fastmail_ingest.telemetry.maintenance_metrics import MaintenanceMetrics
from fastmail_ingest.telemetry.metrics_directory import begin_counting, place

_log = logging.getLogger(__name__)

_METRICS_EVERY_S = 1.0
_METRICS_AGAIN_S = 60.0


def run_maintenance(runtime: Runtime, child: Child, worker_role: int) -> int:
    """The whole life of the maintenance process; returns its exit code."""
    stopper = Stopper()
    signal.signal(signal.SIGTERM, lambda *_: stopper.stop())
    metrics = begin_counting(child.slot.generation)
    ledger = Ledger(runtime.redis_url, runtime.config.redis.password, runtime.arguments)
    maintenance = Maintenance(
        ledger,
        Workers(child.table, worker_role, runtime.node),
        SlotGauges(child.slot, MaintenanceMetrics() if metrics is not None else None),
        runtime.config.supervisor.lease,
        runtime.config.retry.max_deaths,
        Orphans(ledger.blobs, runtime.blobs),
    )
    dead_metrics = DeadMetrics(child.table, place())

    def wait(seconds: float) -> bool:
        dead_metrics.look(time.monotonic())
        return _wait(stopper, child, seconds)

    maintenance.run(wait, child.slot.ready)
    ledger.close()
    return EXIT_OK


def _wait(stopper: Stopper, child: Child, seconds: float) -> bool:
    """Wait until a death, the word to stop (False), or the time is up."""
    child.slot.put(Counter.ALIVE_NS, time.monotonic_ns())
    table = child.table
    poller = select.poll()
    poller.register(stopper.fd, select.POLLIN)
    poller.register(table.bell, select.POLLIN)
    poller.poll(seconds * 1000)
    table.hush()
    return not stopper.stopped


class Workers:
    """The workers of this supervisor, as their slots show them."""

    def __init__(self, table: SlotTable, worker_role: int, node: str) -> None:
        self._table = table
        self._role = worker_role
        self.node_id = node

    def _slots(self) -> Iterator[Slot]:
        return (slot for slot in self._table if slot.state is not State.FREE and slot.role == self._role)

    def dead_workers(self) -> Iterator[DeadWorker]:
        """Those whose process is gone and whose work has not been given back yet."""
        for slot in self._slots():
            if slot.state is State.DEAD:
                yield DeadWorker(
                    consumer_name(self.node_id, slot.generation),
                    slot.get(Counter.CLIENT_ID),
                    [(Lane(held.kind), held.token) for held in slot.held()],
                    "hung" if slot.hung else "killed_worker",
                    lambda slot=slot: setattr(slot, "state", State.FREE),  # type: ignore[misc]
                )

    def in_hand(self) -> Iterator[tuple[str, Entries]]:
        """What each living worker's handler is busy with."""
        for slot in self._slots():
            if slot.state is State.READY and (held := slot.held()):
                consumer = consumer_name(self.node_id, slot.generation)
                yield consumer, [(Lane(each.kind), each.token) for each in held]

    def living_consumers(self) -> set[str]:
        """The names of all whose slot is taken: the living, and the dead that get their own burial."""
        return {consumer_name(self.node_id, slot.generation) for slot in self._slots()}

    def node_of(self, consumer: str) -> str:
        """The supervisor that a consumer belongs to."""
        return node_of(consumer)

    def surely_gone(self, node_id: str) -> bool:
        """Whether that supervisor ran on this very host and is no more."""
        return surely_gone(node_id)


class SlotGauges:
    """Writes what maintenance found into its slot."""

    def __init__(self, slot: Slot, metrics: MaintenanceMetrics | None) -> None:
        self._slot = slot
        self._metrics = metrics

    def counted(self, census: Census, unread: bool) -> None:
        """What is where in the stream, and whether some of it was given to no worker yet."""
        self._slot.add(Counter.COUNTED)
        self._slot.put(Counter.BACKLOG, census.lanes)
        self._slot.put(Counter.WAITING_RETRY, census.delayed)
        self._slot.put(Counter.DEAD_LETTERS, census.dead)
        if not unread:
            self._slot.put(Counter.UNREAD_SINCE_NS, 0)
        elif not self._slot.get(Counter.UNREAD_SINCE_NS):
            self._slot.put(Counter.UNREAD_SINCE_NS, time.monotonic_ns())

    def redis(self, state: int) -> None:
        """The state of the breaker around Redis."""
        self._slot.put(Counter.REDIS_BREAKER, state)

    def promoted(self, count: int) -> None:
        """Retries whose time had come."""
        self._slot.add(Counter.PROMOTED, count)

    def put_back(self, count: int) -> None:
        """Entries of dead workers."""
        self._slot.add(Counter.PUT_BACK, count)
        if self._metrics is not None:
            self._metrics.put_back(count)

    def blamed(self, count: int, reason: str) -> None:
        """Entries that were in hand when their worker died."""
        if self._metrics is not None:
            self._metrics.blamed(count, reason)

    def buried(self, count: int, reason: str) -> None:
        """Entries that killed too many workers."""
        self._slot.add(Counter.DEAD, count)
        if self._metrics is not None:
            self._metrics.buried(count, reason)


class DeadMetrics:
    """Adds up what dead children have counted, so that their files do not pile up."""

    def __init__(self, table: SlotTable, directory: Path | None) -> None:
        self._table = table
        self._directory = directory
        self._look_at = 0.0

    def look(self, now: float) -> None:
        """Look if it is time; `now` is time.monotonic(). Never raises: mail does not wait for metrics."""
        if self._directory is None or now < self._look_at:
            return
        self._look_at = now + _METRICS_EVERY_S
        try:
            absorb(self._directory, self._table.living)
        except Exception:
            self._look_at = now + _METRICS_AGAIN_S
            _log.exception("metrics of processes that are gone are not added up now, trying again")
