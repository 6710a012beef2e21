"""The ways to call a handler: inline, several at once, or with a batch."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Protocol

import msgspec

from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry
from fastmail_ingest.pipeline import batch
from fastmail_ingest.pipeline.custody import PATIENCE_S, Custody, Relief, Taken, awake_s
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.pipeline.opening import open_part
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

    @property
    def cells(self) -> int:
        """How many mails may be in hand at once."""
        if self.is_batch:
            return self.batch_size
        return self.concurrency if self.is_async else max(1, self.threads)


class Around(msgspec.Struct, frozen=True):
    """What a runner works with."""

    desk: Desk
    settler: Settler
    judge: Judge
    custody: Custody
    relief: Relief
    blobs: BlobSource


class Runner(Protocol):
    """Handles entries and gives the outcomes to the settler."""

    async def handle(self, taken: Taken, stopping: asyncio.Event) -> None:
        """Handle entries, or begin to.

        What is left of `taken` afterwards is not begun: told to stop, the breaker is open, or all hands
        have been full for too long.
        """

    async def finish(self) -> None:
        """Wait until nothing is in a handler's hand any more."""


def make_runner(plan: CallPlan, around: Around) -> Runner:
    """The runner for this kind of handler."""
    if plan.is_batch:
        return _BatchRunner(plan, around)
    if plan.is_async or plan.threads:
        return _ConcurrentRunner(plan, around)
    return _InlineRunner(plan, around)


class _InlineRunner:
    """A sync handler in the worker's own thread: the fastest way for short work."""

    def __init__(self, plan: CallPlan, around: Around) -> None:
        self._plan, self._around = plan, around

    async def handle(self, taken: Taken, stopping: asyncio.Event) -> None:
        desk, judge, relief = self._around.desk, self._around.judge, self._around.relief
        while taken.left and not stopping.is_set():
            await self._around.custody.check(taken)
            relief.begin(taken)
            settlement = batch.handle_inline(
                self._plan.function, taken, desk, judge, awake_s() + SLICE_S, self._around.blobs
            )
            relief.end()
            for settled, ignored in taken.settled:
                self._around.settler.note(settled, ignored)
            taken.settled.clear()
            self._around.settler.add(settlement)
            await self._around.settler.room()
            if not judge.guard.takes:
                return

    async def finish(self) -> None:
        return


class _BatchRunner:
    """A handler that takes lists."""

    def __init__(self, plan: CallPlan, around: Around) -> None:
        self._plan, self._around = plan, around

    async def handle(self, taken: Taken, stopping: asyncio.Event) -> None:
        around = self._around
        while taken.left and not stopping.is_set():
            await around.custody.check(taken)
            await self._handle_part(taken)
            await around.settler.room()
            if not around.judge.guard.takes:
                return

    async def _handle_part(self, taken: Taken) -> None:
        """Handle the next mails; when it returns, nothing of them is in memory but what is in `taken`."""
        plan, around = self._plan, self._around
        part = open_part(taken.rest(), plan.batch_size, around.blobs)
        taken.begun += part.begun
        for cell, mail in enumerate(part.mails):
            around.desk.hold(cell, mail.entry)
        around.relief.begin(taken)
        began = awake_s()
        settlement = await batch.handle_batch(
            plan.function, part, around.judge, plan.timeout_s, self._hold_only
        )
        settlement.took += [awake_s() - began] * len(part.mails)
        batch.shown(settlement, part.mails[-1] if part.mails else None)
        around.relief.end()
        around.settler.add(settlement)
        for cell in range(len(part.mails)):
            around.desk.release(cell)

    def _hold_only(self, entry: Entry) -> None:
        for cell in range(self._plan.batch_size):
            self._around.desk.release(cell)
        self._around.desk.hold(0, entry)

    async def finish(self) -> None:
        return


class _ConcurrentRunner:
    """Async handlers, or sync ones in threads: a slow mail delays none of the others.

    A mail that was in hand when a worker died is handled alone: if it kills again, it alone is to blame.
    """

    def __init__(self, plan: CallPlan, around: Around) -> None:
        self._plan, self._around = plan, around
        # A heap: the lowest cells first, since a reload may have asked for more than the slot has.
        self._free_cells = list(range(plan.cells))
        self._cell_freed = asyncio.Semaphore(plan.cells)
        self._running: set[asyncio.Task[None]] = set()
        self._has_suspect = False  # what is in hand is one that is handled alone
        # A thread cannot be cancelled: trying again while it still runs would handle the mail twice.
        self._timeout_s = plan.timeout_s if plan.is_async else None
        self._pool = None if plan.is_async else ThreadPoolExecutor(plan.threads, "handler")

    async def handle(self, taken: Taken, stopping: asyncio.Event) -> None:
        while taken.left:
            await self._around.settler.room()
            if self._must_wait_for_all(taken) and not await self._all_hands_are_free():
                return
            if not await self._hand_is_free(stopping):
                return
            await self._around.custody.check(taken)
            if not taken.left or not self._around.judge.guard.takes:
                self._cell_freed.release()
                return
            if self._must_wait_for_all(taken):  # what was next is somebody else's now
                self._cell_freed.release()
                continue
            self._begin(taken)

    def _must_wait_for_all(self, taken: Taken) -> bool:
        """Whether a suspect is in hand, or the next is one and others are in hand."""
        next_is_suspect = taken.entries[taken.begun].deaths > 0
        return bool(self._running) and (self._has_suspect or next_is_suspect)

    async def _all_hands_are_free(self) -> bool:
        """Wait until nothing is in hand, but not for ever: the neighbours of a suspect go to others."""
        await asyncio.wait(self._running, timeout=PATIENCE_S)
        return not self._running

    async def _hand_is_free(self, stopping: asyncio.Event) -> bool:
        """Wait for a hand to become free, but not for ever: others may have one."""
        if self._cell_freed.locked():
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._cell_freed.acquire()
            except TimeoutError:
                return False
        else:
            await self._cell_freed.acquire()
        if stopping.is_set():
            self._cell_freed.release()
            return False
        return True

    def _begin(self, taken: Taken) -> None:
        entry = taken.entries[taken.begun]
        taken.begun += 1
        self._has_suspect = entry.deaths > 0
        task = asyncio.create_task(self._handle(entry, heapq.heappop(self._free_cells)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, entry: Entry, cell: int) -> None:
        desk, judge = self._around.desk, self._around.judge
        desk.hold(cell, entry)
        try:
            self._around.settler.add(
                await batch.handle_one(self._call(), entry, judge, self._timeout_s, self._around.blobs)
            )
        finally:
            desk.release(cell)
            heapq.heappush(self._free_cells, cell)
            self._cell_freed.release()

    def _call(self) -> Callable[[Email], Awaitable[object]]:
        function, pool = self._plan.function, self._pool
        if pool is None:
            return function
        loop = asyncio.get_running_loop()
        return lambda email: loop.run_in_executor(pool, copy_context().run, in_thread, function, email)

    async def finish(self) -> None:
        while self._running:
            await asyncio.wait(self._running)


def in_thread(function: Callable[[Email], object], email: Email) -> object:
    """As in a coroutine (PEP 479): a future takes no StopIteration, and would never be done."""
    try:
        return function(email)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error
