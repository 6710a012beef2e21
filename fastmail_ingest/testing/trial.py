"""One mail, one call of a handler, as a worker makes it; without Redis and without a process of its own."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.config import Config
from fastmail_ingest.errors import StartupFailed
from fastmail_ingest.handler.hooks import call, name_of, shut_down
from fastmail_ingest.handler.load import Handler, Hook
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline import batch
from fastmail_ingest.pipeline.custody import Taken, awake_s
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.opening import open_part
from fastmail_ingest.pipeline.rules import error_rules
from fastmail_ingest.pipeline.runner import in_thread
from fastmail_ingest.testing.deadline import Hung, killed_after
from fastmail_ingest.testing.outcome import Outcome
from fastmail_ingest.testing.verdict import Listening, outcome_of

# An async handler is cancelled at handler.timeout; a worker that this does not help is killed so much later.
_GRACE_S = 5.0
# An event loop that still comes round ends the wait itself; one that is blocked is interrupted so much later.
_BLOCKED_S = 0.5

# Kept: what is destroyed before its end says so, in the middle of what comes later.
_left_alone: set[asyncio.Task[Any]] = set()

_Answer = TypeVar("_Answer")


class Mail(msgspec.Struct, frozen=True):
    """A mail for a handler, and how often it has been tried, this time included."""

    envelope: codec.Envelope
    attempt: int = 1


class Trial:
    """Calls a handler as the configuration says. `timeout_s` goes before the configuration's.

    `deaf` is called, in a thread, if the handler blocks and catches whatever interrupts it. `abandoned`
    tells whether something of the handler's still runs, which nothing but the end of the process ends.
    """

    def __init__(
        self,
        handler: Handler,
        config: Config,
        timeout_s: float | None = None,
        deaf: Callable[[], None] | None = None,
    ) -> None:
        self.abandoned = False
        self._handler = handler
        self._config = config
        self._timeout_s = config.handler.timeout if timeout_s is None else timeout_s
        self._deaf = deaf
        self._seen: list[Email] = []

    async def run(self, mails: Iterable[Mail], tell: Callable[[Outcome], None]) -> Exception | None:
        """Call the hooks, and the handler for each mail; returns what startup raised, if it did."""
        batch.begin_process()
        try:
            for hook in self._handler.startup:
                await self._start_up(hook)
        except Exception as error:
            return error
        try:
            for mail in mails:
                tell(await self._handle(mail))
        finally:
            # One that hangs is logged, as one that raises is: the mails are through.
            with suppress(Hung):
                await self._ended(shut_down(self._handler.shutdown), self._timeout_s)
        return None

    async def _start_up(self, hook: Hook) -> None:
        try:
            await self._ended(call(hook), self._timeout_s)
        except Hung as error:
            raise StartupFailed(
                f"{name_of(hook)} is not finished after handler.timeout = {self._timeout_s:g} s; a worker "
                "takes no mail meanwhile. remedy: give what it opens a timeout, or raise [handler] timeout"
            ) from error

    async def _ended(self, work: Coroutine[Any, Any, _Answer], seconds: float) -> _Answer:
        """What `work` returns; raises Hung after `seconds`, even if `work` catches whatever cancels it."""
        task = asyncio.ensure_future(work)
        # Ctrl-C ends the loop while nobody waits for the task any more.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        with killed_after(seconds + _BLOCKED_S, self._deaf):
            await asyncio.wait([task], timeout=seconds)
        if not task.done():
            task.cancel()
            self.abandoned = True
            _left_alone.add(task)
            raise Hung
        return task.result()

    async def _handle(self, mail: Mail) -> Outcome:
        entry = Entry(Lane.LIVE, b"0-1", codec.encode(mail.envelope), failures=mail.attempt - 1)
        section = self._config.breaker
        guard = Guard(CircuitBreaker("handler", failures=section.failures), section.errors)
        judge = Listening(error_rules(self._config), guard)
        begun, hung = time.monotonic(), False
        try:
            settlement = await self._settled(entry, judge)
        except Hung as error:
            settlement, hung = Settlement(), True
            judge.error = judge.error or (error if error.args else None)
        seconds = time.monotonic() - begun
        email = self._seen.pop() if self._seen else Email(mail.envelope, mail.attempt)
        self.abandoned |= hung or judge.hung or judge.late
        if hung or judge.hung:
            return self._hung(email, seconds, judge.error)
        return outcome_of(email, seconds, judge, settlement)

    async def _settled(self, entry: Entry, judge: Listening) -> Settlement:
        if self._handler.is_async or self._config.handler.threads:
            return await self._ended(self._settle(entry, judge), self._timeout_s + _GRACE_S)
        with killed_after(self._timeout_s, self._deaf) as killed:
            settlement = await self._settle(entry, judge)
        if killed.is_set():
            raise Hung
        return settlement

    async def _settle(self, entry: Entry, judge: Listening) -> Settlement:
        handler, timeout_s = self._handler, self._timeout_s
        if handler.is_batch:
            return await batch.handle_batch(self._called, open_part([entry], 1), judge, timeout_s)
        if handler.is_async:
            return await batch.handle_one(self._called, entry, judge, timeout_s)
        if self._config.handler.threads:
            judge.late_is_hung = True
            return await batch.handle_one(self._in_a_thread, entry, judge, timeout_s)
        taken = Taken([entry], awake_s())
        return batch.handle_inline(self._called, taken, _Desk(), judge, math.inf)

    def _called(self, given: Any) -> Any:
        self._seen.append(given[0] if self._handler.is_batch else given)
        return self._handler.function(given)

    def _in_a_thread(self, email: Email) -> Awaitable[object]:
        """In a thread that nobody waits for at the end: it may hang, and cannot be killed."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()

        def settle(value: object, error: BaseException | None) -> None:
            if answer.done():
                return  # it was too late, and nobody waits any more
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

        def run() -> None:
            value, error = None, None
            try:
                value = in_thread(self._called, email)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # too late, the loop is closed
                loop.call_soon_threadsafe(settle, value, error)

        threading.Thread(target=run, name="handler", daemon=True).start()
        return answer

    def _hung(self, email: Email, seconds: float, error: BaseException | None) -> Outcome:
        return Outcome(
            "failed", email, seconds,
            f"hung: not finished after handler.timeout = {self._timeout_s:g} s",
            f"its worker is killed and the mail is tried again; after {self._config.retry.max_deaths} "
            "such deaths it is a dead letter (hung)",
            0.0, error,
        )  # fmt: skip


class _Desk:
    """Nobody needs to know what is in hand."""

    def hold(self, cell: int, entry: Entry) -> None:
        pass

    def release(self, cell: int) -> None:
        pass
