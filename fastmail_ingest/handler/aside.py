"""Where the sync handlers of an async chain run: in threads, so that the event loop never waits for them."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from fastmail_ingest.handler.load import Hook


class Aside:
    """A pool of `threads` threads; the first of them begins with the first call, so after a fork."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "handler")

    async def call(self, function: Callable[..., object], *given: object) -> object:
        """What `function` returns; raises what it raises.

        A thread cannot be stopped: if this is cancelled, it waits for the end of the call, since whoever
        cancels may begin anew. If there is no end, the supervisor ends the worker.
        """
        began = self._pool.submit(copy_context().run, _called, function, *given)
        waiting, cancelled = asyncio.wrap_future(began), False
        try:
            while not waiting.done():
                try:
                    await asyncio.wait([waiting])
                except asyncio.CancelledError:
                    if began.cancel():  # nothing of it has happened
                        raise
                    cancelled = True
            answer: object = waiting.result()
        finally:
            # Both hold what was raised, which holds this frame: a circle that would keep the mail in memory.
            del began, waiting
        if cancelled:
            raise asyncio.CancelledError
        return answer

    def hook(self, hook: Hook) -> Hook:
        """The hook, to be called in the same thread (if there is but one) as the handler.

        What it opens may belong to its thread, as a connection of sqlite3 does.
        """
        if inspect.iscoroutinefunction(hook):
            return hook

        @functools.wraps(hook)
        async def called_aside() -> None:
            answer = await self.call(hook)
            if inspect.isawaitable(answer):
                await answer

        return called_aside


def _called(function: Callable[..., object], *given: object) -> object:
    """As in a coroutine (PEP 479): a future takes no StopIteration, and would never be done."""
    try:
        return function(*given)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error
