"""A worker process: the pipeline's loop with the real lanes, the slot as desk, the counters as journal."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence

import msgspec
import psutil
import uvloop

from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import EXIT_OK, EXIT_ROLE_FAILED
from fastmail_ingest.handler.hooks import shut_down, start_up
from fastmail_ingest.handler.overdue import Watch
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.batch import begin_process
from fastmail_ingest.pipeline.custody import Custody, Relief
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.pipeline.large import Unneeded
from fastmail_ingest.pipeline.ports import Journal
from fastmail_ingest.pipeline.rules import error_rules
from fastmail_ingest.pipeline.runner import Around, CallPlan, make_runner
from fastmail_ingest.pipeline.settler import Settler
from fastmail_ingest.pipeline.worker import Worker, WorkerHooks
from fastmail_ingest.policy.batch import BatchAim
from fastmail_ingest.stream.lanes import BLOCK_MS, Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.supervisor.role import EXIT_WORN_OUT, Child
from fastmail_ingest.supervisor.slots import Slot
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.metrics_directory import begin_counting
from fastmail_ingest.telemetry.tracing import WorkerTraces
from fastmail_ingest.telemetry.tracing import begin as begin_tracing
from fastmail_ingest.telemetry.worker_metrics import WorkerMetrics

ONCE_BLOCK_MS = 50  # with --once somebody waits for the end
_BEAT_S = 1.0
# The worker may have to wait for it when its mail ends in that moment.
RELIEF_ANSWER_TIMEOUT_S = 2.0
_RSS_EVERY_S = 1.0


def consumer_name(node: str, generation: int) -> str:
    """A worker's name in the stream; no two processes ever share it."""
    return f"{node}:{generation}"


def node_of(consumer: str) -> str:
    """The supervisor that a consumer belongs to."""
    return consumer.rpartition(":")[0]


def run_worker(runtime: Runtime, child: Child) -> int:
    """The whole life of a worker process; returns its exit code."""
    begin_process()
    tracing = begin_tracing(enabled=runtime.config.tracing.enabled, node=runtime.node)
    if tracing is None:
        return uvloop.run(_work(runtime, child))
    try:
        return uvloop.run(_work(runtime, child, tracing.worker()))
    finally:
        tracing.close(runtime.config.supervisor.drain_timeout)


async def _work(runtime: Runtime, child: Child, traces: WorkerTraces | None = None) -> int:
    slot, section = child.slot, runtime.config.worker
    consumer = consumer_name(runtime.node, slot.generation)
    lanes = _lanes(runtime, consumer, traces)
    journal = _journals(runtime, slot)
    around = _around(runtime, slot, lanes, journal, consumer)
    runner = make_runner(_call_plan(runtime, traces), around)
    aim = BatchAim(section.target_ms / 1000, section.batch_bytes, section.batch_max)
    wear = Wear(slot, section.max_mails, section.max_rss)
    worker = Worker(lanes, runner, around, journal, aim, _hooks(runtime, child, wear))
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        worker.stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    beating = loop.create_task(_beat(slot))
    if runtime.handler.startup and not runtime.once:
        slot.ready()  # waiting for what the handler needs is no failure to start
    opened = await start_up(
        runtime.handler.startup, stopping, once=runtime.once, watch=_watch(runtime.call_plan.timeout_s, slot)
    )
    given_back = await worker.run()
    if opened:
        await shut_down(runtime.handler.shutdown)
    beating.cancel()
    slot.add(Counter.PUT_BACK, given_back)
    return EXIT_WORN_OUT if wear.out else EXIT_OK


def _lanes(runtime: Runtime, consumer: str, traces: WorkerTraces | None) -> Lanes:
    block_ms = ONCE_BLOCK_MS if runtime.once else BLOCK_MS
    given = (runtime.redis_url, runtime.config.redis.password, runtime.arguments, consumer, block_ms)
    if traces is None:
        return Lanes(*given)
    lanes = _TracedLanes(*given)
    lanes.traces = traces
    return lanes


class _TracedLanes(Lanes):
    """With a span around each settle."""

    traces: WorkerTraces

    async def settle(self, settlement: Settlement) -> int:
        with self.traces.settling(len(settlement)):
            return await super().settle(settlement)


def _call_plan(runtime: Runtime, traces: WorkerTraces | None) -> CallPlan:
    plan = runtime.call_plan
    if traces is None:
        return plan
    function = traces.traced(plan.function, is_async=plan.is_async, is_batch=plan.is_batch)
    return msgspec.structs.replace(plan, function=function)


async def _beat(slot: Slot) -> None:
    """Show that the loop runs."""
    while True:
        _show_alive(slot)
        await asyncio.sleep(_BEAT_S)


def _show_alive(slot: Slot) -> None:
    slot.put(Counter.ALIVE_NS, time.monotonic_ns())


def _watch(timeout_s: float, slot: Slot) -> Watch:
    """A startup hook has as long as a mail has; one that nothing else ends, ends its worker."""

    def hung(words: str) -> None:
        slot.message = words
        os._exit(EXIT_ROLE_FAILED)

    return Watch(timeout_s, lambda: _show_alive(slot), hung)


def _around(runtime: Runtime, slot: Slot, lanes: Lanes, journal: Journal, consumer: str) -> Around:
    breaker = runtime.config.breaker
    circuit = CircuitBreaker(
        "handler", failures=breaker.failures, recovery_s=breaker.recovery, successes=breaker.successes
    )
    ledger = Ledger(
        runtime.redis_url, runtime.config.redis.password, runtime.arguments, RELIEF_ANSWER_TIMEOUT_S
    )
    return Around(
        SlotDesk(slot),
        Settler(lanes, journal),
        Judge(error_rules(runtime.config), Guard(circuit, breaker.errors)),
        Custody(lanes.owned),
        Relief(SecondHand(ledger, slot, consumer)),
        runtime.blobs,
    )


class SecondHand:
    """What the second thread of a worker does in the stream, over a connection of its own."""

    def __init__(self, ledger: Ledger, slot: Slot, consumer: str) -> None:
        self.unavailable = ledger.unavailable
        self.settle = ledger.settle
        self._ledger, self._slot, self._consumer = ledger, slot, consumer

    def release(self, held: Sequence[tuple[Lane, bytes]]) -> int:
        """Give everybody what this worker has been given beside `held`."""
        return self._ledger.release(self._consumer, self._slot.get(Counter.CLIENT_ID), held)


class Wear:
    """Tells when a worker should make room: after so many mails, or above so much memory; 0 is never."""

    def __init__(self, slot: Slot, max_mails: int, max_rss: int) -> None:
        # Workers that began together must not end together.
        self._max_mails = max_mails and max(1, round(max_mails * random.uniform(0.9, 1.1)))  # noqa: S311
        self._max_rss = max_rss
        self._slot = slot
        self._process = psutil.Process()
        self._look_at = 0.0
        self.out = ""

    def reason(self) -> str:
        """Why it should, empty if it need not."""
        taken, now = self._slot.get(Counter.TAKEN), time.monotonic()
        if self._max_mails and taken >= self._max_mails:
            self.out = f"{taken} mails handled"
        elif self._max_rss and now >= self._look_at:
            self._look_at = now + _RSS_EVERY_S
            rss = self._process.memory_info().rss
            if rss > self._max_rss:
                self.out = f"{rss / 1e6:.0f} MB of memory used"
        return self.out


def _hooks(runtime: Runtime, child: Child, wear: Wear) -> WorkerHooks:
    slot = child.slot

    def ready(client_id: int) -> None:
        slot.put(Counter.CLIENT_ID, client_id)
        slot.ready()

    return WorkerHooks(
        ready=ready,
        batch_size=lambda count: slot.put(Counter.BATCH_SIZE, count),
        no_more_mail=lambda: runtime.once and child.table.finished_stages > 0,
        worn_out=wear.reason,
        breaker=lambda state: slot.put(Counter.HANDLER_BREAKER, state),
        redis=lambda state: slot.put(Counter.REDIS_BREAKER, state),
    )


class SlotDesk:
    """Shows the entries in hand in the worker's slot, where they outlive it."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._cells = slot.cells

    def hold(self, cell: int, entry: Entry) -> None:
        """Show an entry in a cell; a reload may have asked for more cells than there are."""
        if cell < self._cells:
            self._slot.hold(cell, time.monotonic(), entry.lane, entry.id)

    def release(self, cell: int) -> None:
        """Empty a cell."""
        if cell < self._cells:
            self._slot.release(cell)


class SlotJournal:
    """Counts what was taken and settled in the worker's slot."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def taken(self, count: int) -> None:
        """Entries were read from the stream."""
        if not self._slot.get(Counter.FIRST_WORK_NS):
            self._slot.put(Counter.FIRST_WORK_NS, time.monotonic_ns())
        self._slot.add(Counter.TAKEN, count)

    def settled(self, settlement: Settlement, ignored: int) -> None:
        """Entries were written down as done, delayed or dead."""
        slot, now = self._slot, time.time()
        slot.add(Counter.DONE, max(0, settlement.done_count - ignored))
        slot.add(Counter.DELAYED, len(settlement.delayed))
        slot.add(Counter.DEAD, len(settlement.dead))
        slot.add(Counter.IGNORED, ignored)
        waited = sum(now * len(c.fetched_at) - sum(c.fetched_at) for c in settlement.done.values())
        slot.add(Counter.LATENCY_SUM_US, max(0, int(waited * 1e6)))
        slot.put(Counter.LAST_SETTLE_NS, time.monotonic_ns())


class _Journals:
    """Tells several."""

    def __init__(self, journals: Sequence[Journal]) -> None:
        self._journals = journals

    def taken(self, count: int) -> None:
        for journal in self._journals:
            journal.taken(count)

    def settled(self, settlement: Settlement, ignored: int) -> None:
        for journal in self._journals:
            journal.settled(settlement, ignored)


def _journals(runtime: Runtime, slot: Slot) -> Journal:
    journals: list[Journal] = [SlotJournal(slot), Unneeded(runtime.blobs.remove)]
    if (metrics := begin_counting(slot.generation)) is not None:
        journals.append(WorkerMetrics(metrics))
    return _Journals(journals if runtime.watcher is None else [*journals, runtime.watcher()])
