"""A worker process: the pipeline's loop with the real lanes, the slot as desk, the counters as journal."""

import asyncio
import signal
import time
from collections.abc import Sequence

import uvloop

from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.pipeline.ports import Journal
from fastmail_ingest.pipeline.runner import make_runner
from fastmail_ingest.pipeline.settler import Settler
from fastmail_ingest.pipeline.worker import Worker, WorkerHooks
from fastmail_ingest.policy.batch import BatchAim
from fastmail_ingest.stream.lanes import BLOCK_MS, Lanes
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.supervisor.slots import Slot
from fastmail_ingest.telemetry import logs
from fastmail_ingest.telemetry.counters import Counter

ONCE_BLOCK_MS = 50  # with --once somebody waits for the end


def consumer_name(node: str, generation: int) -> str:
    """A worker's name in the stream; no two processes ever share it."""
    return f"{node}:{generation}"


def node_of(consumer: str) -> str:
    """The supervisor that a consumer belongs to."""
    return consumer.rpartition(":")[0]


def run_worker(runtime: Runtime, child: Child) -> int:
    """The whole life of a worker process; returns its exit code."""
    logs.set_component(f"worker-{child.number}")
    uvloop.run(_work(runtime, child))
    return 0


async def _work(runtime: Runtime, child: Child) -> None:
    slot, section = child.slot, runtime.config.worker
    lanes = Lanes(
        runtime.redis_url,
        runtime.config.redis.password,
        runtime.arguments,
        consumer_name(runtime.node, slot.generation),
        ONCE_BLOCK_MS if runtime.once else BLOCK_MS,
    )
    journal = _journal(runtime, slot)
    settler = Settler(lanes, journal)
    runner = make_runner(runtime.call_plan, SlotDesk(slot), settler)
    aim = BatchAim(section.target_ms / 1000, section.batch_bytes, section.batch_max)
    worker = Worker(lanes, runner, settler, journal, aim, _hooks(runtime, child))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    given_back = await worker.run()
    slot.add(Counter.PUT_BACK, given_back)


def _hooks(runtime: Runtime, child: Child) -> WorkerHooks:
    slot = child.slot

    def ready(client_id: int) -> None:
        slot.put(Counter.CLIENT_ID, client_id)
        slot.ready()

    return WorkerHooks(
        ready=ready,
        batch_size=lambda count: slot.put(Counter.BATCH_SIZE, count),
        no_more_mail=lambda: runtime.once and child.table.finished_stages > 0,
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


def _journal(runtime: Runtime, slot: Slot) -> Journal:
    own = SlotJournal(slot)
    return own if runtime.watcher is None else _Journals([own, runtime.watcher()])
