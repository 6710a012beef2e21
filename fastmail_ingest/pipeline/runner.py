"""The ways to call a handler: inline, several at once, or with a batch."""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import msgspec

from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry
from fastmail_ingest.pipeline import batch
from fastmail_ingest.pipeline.ports import Desk
from fastmail_ingest.pipeline.settler import Settler

# What was handled is written at least this often: a crash repeats no more than this much work.
SLICE_S = 0.010


class CallPlan(msgspec.Struct, frozen=True):
    """How the handler is to be called."""

    function: Callable[..., Any]
    is_async: bool
    is_batch: bool
    concurrency: int
    threads: int
    batch_size: int
    timeout_s: float
    rule: batch.RetryRule

    @property
    def cells(self) -> int:
        """How many mails may be in hand at once."""
        if self.is_batch:
            return self.batch_size
        return self.concurrency if self.is_async else max(1, self.threads)


class Runner(Protocol):
    """Handles entries and gives the outcomes to the settler."""

    async def handle(self, entries: Sequence[Entry], stopping: asyncio.Event) -> int:
        """Handle entries, or begin to; returns how many, which is less than all only when stopping."""

    async def finish(self) -> None:
        """Wait until nothing is in a handler's hand any more."""


def make_runner(plan: CallPlan, desk: Desk, settler: Settler) -> Runner:
    """The runner for this kind of handler."""
    if plan.is_batch:
        return _BatchRunner(plan, desk, settler)
    if plan.is_async or plan.threads:
        return _ConcurrentRunner(plan, desk, settler)
    return _InlineRunner(plan, desk, settler)


class _InlineRunner:
    """A sync handler in the worker's own thread: the fastest way for short work."""

    def __init__(self, plan: CallPlan, desk: Desk, settler: Settler) -> None:
        self._plan, self._desk, self._settler = plan, desk, settler

    async def handle(self, entries: Sequence[Entry], stopping: asyncio.Event) -> int:
        position = 0
        while position < len(entries) and not stopping.is_set():
            rest = entries[position:] if position else entries
            settlement, handled = batch.handle_inline(
                self._plan.function, rest, self._desk, self._plan.rule, time.monotonic() + SLICE_S
            )
            position += handled
            self._settler.add(settlement)
            await self._settler.room()
        return position

    async def finish(self) -> None:
        return


class _BatchRunner:
    """A handler that takes lists."""

    def __init__(self, plan: CallPlan, desk: Desk, settler: Settler) -> None:
        self._plan, self._desk, self._settler = plan, desk, settler

    async def handle(self, entries: Sequence[Entry], stopping: asyncio.Event) -> int:
        handled = 0
        for part in _parts(entries, self._plan.batch_size):
            if stopping.is_set():
                return handled
            handled += len(part)
            for cell, entry in enumerate(part):
                self._desk.hold(cell, entry)
            settlement = await batch.handle_batch(
                self._plan.function, part, self._plan.rule, self._plan.timeout_s, self._hold_only
            )
            self._settler.add(settlement)
            for cell in range(len(part)):
                self._desk.release(cell)
            await self._settler.room()
        return len(entries)

    def _hold_only(self, entry: Entry) -> None:
        for cell in range(self._plan.batch_size):
            self._desk.release(cell)
        self._desk.hold(0, entry)

    async def finish(self) -> None:
        return


def _parts(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    """Batches of at most `size`; a mail that was in hand when a worker died is a batch of its own."""
    gathered: list[Entry] = []
    for entry in entries:
        if gathered and (entry.deaths or len(gathered) == size):
            yield gathered
            gathered = []
        if entry.deaths:
            yield [entry]
        else:
            gathered.append(entry)
    if gathered:
        yield gathered


class _ConcurrentRunner:
    """Async handlers, or sync ones in threads: a slow mail delays none of the others.

    A mail that was in hand when a worker died is handled alone: if it kills again, it alone is to blame.
    """

    def __init__(self, plan: CallPlan, desk: Desk, settler: Settler) -> None:
        self._plan, self._desk, self._settler = plan, desk, settler
        # A heap: the lowest cells first, since a reload may have asked for more than the slot has.
        self._free_cells = list(range(plan.cells))
        self._cell_freed = asyncio.Semaphore(plan.cells)
        self._running: set[asyncio.Task[None]] = set()
        # A thread cannot be cancelled: trying again while it still runs would handle the mail twice.
        self._timeout_s = plan.timeout_s if plan.is_async else None
        self._pool = None if plan.is_async else ThreadPoolExecutor(plan.threads, "handler")

    async def handle(self, entries: Sequence[Entry], stopping: asyncio.Event) -> int:
        for started, entry in enumerate(entries):
            await self._settler.room()
            await self._cell_freed.acquire()
            if stopping.is_set():
                self._cell_freed.release()
                return started
            if entry.deaths:
                await self.finish()
            task = asyncio.create_task(self._handle(entry, heapq.heappop(self._free_cells)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            if entry.deaths:
                await self.finish()
        return len(entries)

    async def _handle(self, entry: Entry, cell: int) -> None:
        self._desk.hold(cell, entry)
        try:
            self._settler.add(await batch.handle_one(self._call(), entry, self._plan.rule, self._timeout_s))
        finally:
            self._desk.release(cell)
            heapq.heappush(self._free_cells, cell)
            self._cell_freed.release()

    def _call(self) -> Callable[[Email], Awaitable[object]]:
        function, pool = self._plan.function, self._pool
        if pool is None:
            return function
        loop = asyncio.get_running_loop()
        return lambda email: loop.run_in_executor(pool, function, email)

    async def finish(self) -> None:
        while self._running:
            await asyncio.wait(self._running)
