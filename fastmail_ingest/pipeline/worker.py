"""The worker's loop: take a batch that was read ahead, handle it, let the settler write it down."""

import asyncio
import logging
import random
import time
from collections.abc import Callable

import msgspec

from fastmail_ingest.model.entry import Entry
from fastmail_ingest.pipeline.ports import Journal, Lanes
from fastmail_ingest.pipeline.runner import Runner
from fastmail_ingest.pipeline.settler import Settler
from fastmail_ingest.policy.backoff import REDIS_RECONNECT, delay_s
from fastmail_ingest.policy.batch import BatchAim, next_count

_log = logging.getLogger(__name__)

FIRST_COUNT = 1  # of unknown size and cost; each batch at most doubles


class WorkerHooks(msgspec.Struct, frozen=True):
    """What the worker tells the process around it, and asks of it."""

    ready: Callable[[int], None]  # the reading connection's client id
    batch_size: Callable[[int], None]
    no_more_mail: Callable[[], bool]  # nobody will append any more: end when the lanes are empty


class Worker:
    """Reads, has handled, settles, until told to stop; then gives back what it has not begun."""

    def __init__(
        self,
        lanes: Lanes,
        runner: Runner,
        settler: Settler,
        journal: Journal,
        aim: BatchAim,
        hooks: WorkerHooks,
    ) -> None:
        self._lanes = lanes
        self._runner = runner
        self._settler = settler
        self._journal = journal
        self._aim = aim
        self._hooks = hooks
        self._count = min(FIRST_COUNT, aim.count_max)
        self._stopping = asyncio.Event()
        self._client_id = 0

    def stop(self) -> None:
        """Finish what is in hand, give back the rest, end. May be called again."""
        self._stopping.set()

    async def run(self) -> int:
        """Work until stopped, or until all work is done; returns how many entries were given back."""
        settling = asyncio.create_task(self._settler.run())
        interrupting = asyncio.create_task(self._interrupt_when_stopping())
        working = asyncio.create_task(self._work_until_stopped())
        # Settling never ends by itself: if it fails, so must the process, not wait for it for ever.
        done, _ = await asyncio.wait([working, settling], return_when=asyncio.FIRST_COMPLETED)
        if settling in done:
            working.cancel()
            await settling
        settling.cancel()
        interrupting.cancel()
        given_back = await working
        await self._lanes.close()
        return given_back

    async def _work_until_stopped(self) -> int:
        await self._open()
        connection_lost = False
        while not self._stopping.is_set():
            try:
                if connection_lost:
                    await self._recover()
                    connection_lost = False
                if await self._work():
                    break
            except self._lanes.unavailable as error:
                connection_lost = True
                _log.warning("reading: Redis is away (%s), trying again", error)
                await self._pause(delay_s(REDIS_RECONNECT, 1, random.random()))  # noqa: S311
        return await self._leave()

    # --- the loop ----------------------------------------------------------------------------------

    async def _work(self) -> bool:
        """Handle batches until stopping (False) or nothing is left to do (True)."""
        ahead = asyncio.create_task(self._lanes.read(self._count))
        try:
            while not self._stopping.is_set():
                entries = await ahead
                if not entries and await self._all_done():
                    return True
                if self._stopping.is_set():
                    break
                ahead = asyncio.create_task(self._lanes.read(self._count))
                if entries:
                    await self._handle(entries)
        finally:
            await self._end_read(ahead)
        return False

    async def _handle(self, entries: list[Entry]) -> None:
        self._journal.taken(len(entries))
        await asyncio.sleep(0)  # let the read ahead go out before a sync handler takes the thread
        started = time.monotonic()
        handled = await self._runner.handle(entries, self._stopping)
        elapsed = time.monotonic() - started
        size = sum(len(entry.payload) for entry in entries)
        self._count = next_count(self._aim, self._count, handled, elapsed, size)
        self._hooks.batch_size(self._count)

    async def _all_done(self) -> bool:
        return self._hooks.no_more_mail() and await self._lanes.backlog() == 0

    # --- beginnings and ends -----------------------------------------------------------------------

    async def _open(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._client_id = await self._lanes.open()
                self._hooks.ready(self._client_id)
                return
            except self._lanes.unavailable as error:
                failures += 1
                _log.warning("Redis is away (%s), trying again", error)
                await self._pause(delay_s(REDIS_RECONNECT, failures, random.random()))  # noqa: S311

    async def _recover(self) -> None:
        """After a lost connection: entries of a reply that never arrived are ours by name; give them back."""
        await self._runner.finish()
        await self._settler.flushed()
        await self._open()
        if not self._stopping.is_set():
            await self._lanes.give_back()

    async def _leave(self) -> int:
        await self._runner.finish()
        await self._settler.flushed()
        try:
            return await self._lanes.give_back()
        except self._lanes.unavailable as error:
            # Whoever clears up after us puts them back as soon as Redis is there again.
            _log.warning("giving back: Redis is away (%s)", error)
            return 0

    async def _end_read(self, ahead: "asyncio.Task[list[Entry]]") -> None:
        """Let a read under way come to its end; what it brought stays ours by name until given back."""
        if not ahead.done():
            await self._interrupt()
        await asyncio.wait([ahead])
        if not ahead.cancelled():
            ahead.exception()  # looked at here; the cause is handled where it was raised

    async def _interrupt_when_stopping(self) -> None:
        await self._stopping.wait()
        await self._interrupt()

    async def _interrupt(self) -> None:
        try:
            await self._lanes.interrupt(self._client_id)
        except self._lanes.unavailable as error:
            _log.debug("ending a blocked read: %s", error)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
