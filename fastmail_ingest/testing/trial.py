"""One mail, one call of a handler, as a worker makes it; without Redis and without a process of its own."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.config import Config
from fastmail_ingest.handler.hooks import call, shut_down
from fastmail_ingest.handler.load import Handler
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


class Mail(msgspec.Struct, frozen=True):
    """A mail for a handler, and how often it has been tried, this time included."""

    envelope: codec.Envelope
    attempt: int = 1


class Trial:
    """Calls a handler as the configuration says. `timeout_s` goes before the configuration's."""

    def __init__(self, handler: Handler, config: Config, timeout_s: float | None = None) -> None:
        self._handler = handler
        self._config = config
        self._timeout_s = config.handler.timeout if timeout_s is None else timeout_s
        self._seen: list[Email] = []

    async def run(self, mails: Iterable[Mail], tell: Callable[[Outcome], None]) -> Exception | None:
        """Call the hooks, and the handler for each mail; returns what startup raised, if it did."""
        batch.begin_process()
        try:
            for hook in self._handler.startup:
                await call(hook)
        except Exception as error:
            return error
        try:
            for mail in mails:
                tell(await self._handle(mail))
        finally:
            await shut_down(self._handler.shutdown)
        return None

    async def _handle(self, mail: Mail) -> Outcome:
        entry = Entry(Lane.LIVE, b"0-1", codec.encode(mail.envelope), failures=mail.attempt - 1)
        section = self._config.breaker
        guard = Guard(CircuitBreaker("handler", failures=section.failures), section.errors)
        judge = Listening(error_rules(self._config), guard)
        begun = time.monotonic()
        try:
            with killed_after(self._killed_after_s()) as killed:
                settlement = await self._settle(entry, judge)
        except Hung as error:
            judge.error, settlement = error, Settlement()
        seconds = time.monotonic() - begun
        email = self._seen.pop() if self._seen else Email(mail.envelope, mail.attempt)
        if killed.is_set() or judge.hung:
            return self._hung(email, seconds, judge.error)
        return outcome_of(email, seconds, judge, settlement)

    def _killed_after_s(self) -> float:
        waits = self._handler.is_async or self._config.handler.threads > 0
        return self._timeout_s + (_GRACE_S if waits else 0.0)

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
