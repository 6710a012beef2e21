"""The worker's loop: take a batch that was read ahead, handle it, let the settler write it down."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from fastmail_ingest.model.entry import Entry
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.custody import Taken, awake_s
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.ports import Journal, Lanes
from fastmail_ingest.pipeline.runner import Around, Runner
from fastmail_ingest.policy.batch import BatchAim, for_old_mail, next_count

_log = logging.getLogger(__name__)

_LOOK_AROUND_S = 1.0
FIRST_COUNT = 1  # of unknown size and cost; each batch at most doubles


class WorkerHooks(msgspec.Struct, frozen=True):
    """What the worker tells the process around it, and asks of it."""

    ready: Callable[[int], None]  # the reading connection's client id
    batch_size: Callable[[int], None]
    no_more_mail: Callable[[], bool]  # nobody will append any more: end when the lanes are empty
    worn_out: Callable[[], str]  # why this process should make room for a fresh one, empty if it need not
    breaker: Callable[[int], None]  # the state of the breaker around the handler
    redis: Callable[[int], None]  # the state of the breaker around Redis


class Worker:
    """Reads, has handled, settles, until told to stop; then gives back what it has not begun."""

    def __init__(
        self,
        lanes: Lanes,
        runner: Runner,
        around: Around,
        journal: Journal,
        aim: BatchAim,
        hooks: WorkerHooks,
    ) -> None:
        self._lanes = lanes
        self._runner = runner
        self._settler = around.settler
        self._guard = around.judge.guard
        self._relief = around.relief
        self._journal = journal
        self._aim = aim
        self._hooks = hooks
        self._count = min(FIRST_COUNT, aim.count_max)
        self._stopping = asyncio.Event()
        self._client_id = 0
        self._outage = Outage()

    def stop(self) -> None:
        """Finish what is in hand, give back the rest, end. May be called again."""
        self._stopping.set()

    async def run(self) -> int:
        """Work until stopped, worn out, or all is done; returns how many entries were given back."""
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
        self._relief.close()
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
                if not self._guard.closed:
                    await self._wait_for_the_handler()
            except self._lanes.unavailable as error:
                connection_lost = True
                _log.warning("reading: Redis is away (%s), trying again", error)
                await self._pause_for_redis(error)
        return await self._leave()

    # --- the loop ----------------------------------------------------------------------------------

    async def _work(self) -> bool:
        """Handle batches until stopping or the breaker opens (False), or nothing is left to do (True)."""
        ahead = self._read_ahead()
        try:
            while not self._stopping.is_set() and self._guard.closed:
                entries, sent_at = await ahead
                if not entries and await self._all_done():
                    return True
                if self._stopping.is_set() or self._is_worn_out():
                    break
                ahead = self._read_ahead()
                if entries:
                    await self._handle(Taken(entries, sent_at))
                if self._relief.takes_ahead():
                    await self._end_read(ahead)
                    ahead = self._read_ahead()
        finally:
            await self._end_read(ahead)
        return False

    def _read_ahead(self) -> "asyncio.Task[tuple[list[Entry], float]]":
        return asyncio.create_task(self._read(self._count))

    async def _read(self, count: int) -> tuple[list[Entry], float]:
        sent_at = awake_s()
        return await self._lanes.read(count), sent_at

    async def _handle(self, taken: Taken) -> None:
        self._journal.taken(taken.left)
        await asyncio.sleep(0)  # let the read ahead go out before a sync handler takes the thread
        started = time.monotonic()
        await self._runner.handle(taken, self._stopping)
        elapsed = time.monotonic() - started
        size = sum(len(entry.payload) for entry in taken.entries)
        # A read brings the entries of the lanes in their order: old mail, if there is some, comes last.
        aim = self._aim if taken.entries[-1].lane is not Lane.BACKFILL else for_old_mail(self._aim)
        self._count = next_count(aim, self._count, taken.begun, elapsed, size)
        self._hooks.batch_size(self._count)
        if taken.left and self._guard.closed and not self._stopping.is_set():
            await self._lanes.hand_back(taken.rest())

    async def _all_done(self) -> bool:
        return self._hooks.no_more_mail() and await self._lanes.backlog() == 0

    def _is_worn_out(self) -> bool:
        if reason := self._hooks.worn_out():
            _log.info("%s: making room for a fresh process", reason)
            self.stop()
        return self._stopping.is_set()

    # --- while the breaker around the handler is open ----------------------------------------------

    async def _wait_for_the_handler(self) -> None:
        """Hold no mail; from time to time try one, until the breaker closes."""
        await self._give_back_all(may_have_run=False)
        self._count = FIRST_COUNT
        while not self._guard.closed and not self._stopping.is_set():
            self._hooks.breaker(self._guard.state)
            if self._hooks.no_more_mail():
                _log.warning("the breaker around the handler is open: what is left waits for the next run")
                self.stop()
            if (wait_s := self._guard.retry_in_s()) > 0:
                await self._pause(min(wait_s, _LOOK_AROUND_S))
                continue
            entries, sent_at = await self._read(FIRST_COUNT)
            if entries and not self._stopping.is_set() and self._guard.begin_probe():
                await self._handle(Taken(entries, sent_at))
                await self._runner.finish()
            self._guard.end_probe()
            await self._give_back_all(may_have_run=False)
        self._hooks.breaker(self._guard.state)

    # --- beginnings and ends -----------------------------------------------------------------------

    async def _open(self) -> None:
        while not self._stopping.is_set():
            self._outage.asking()
            try:
                self._client_id = await self._lanes.open()
                self._outage.over()
                self._hooks.redis(self._outage.state)
                self._hooks.ready(self._client_id)
                return
            except self._lanes.unavailable as error:
                _log.warning("Redis is away (%s), trying again", error)
                await self._pause_for_redis(error)

    async def _recover(self) -> None:
        """After a lost connection: entries of a reply that never arrived are ours by name; give them back.

        A handler may have seen them: a Redis that came back from its file may have lost what we settled.
        """
        await self._runner.finish()
        await self._settler.flushed()
        await self._open()
        if not self._stopping.is_set():
            await self._lanes.give_back(may_have_run=True)

    async def _give_back_all(self, *, may_have_run: bool) -> int:
        await self._runner.finish()
        await self._settler.flushed()
        return await self._lanes.give_back(may_have_run=may_have_run)

    async def _leave(self) -> int:
        try:
            return await self._give_back_all(may_have_run=False)
        except self._lanes.unavailable as error:
            # Whoever clears up after us puts them back as soon as Redis is there again.
            _log.warning("giving back: Redis is away (%s)", error)
            return 0

    async def _end_read(self, ahead: "asyncio.Task[tuple[list[Entry], float]]") -> None:
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

    async def _pause_for_redis(self, error: BaseException) -> None:
        wait_s = self._outage.wait_s(error)
        self._hooks.redis(self._outage.state)
        await self._pause(wait_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
