"""The handler's hooks: what it opens before its first mail in a worker process, and closes after its last."""

import asyncio
import inspect
import logging
import random
from collections.abc import Sequence

from fastmail_ingest.handler.load import Hook
from fastmail_ingest.policy.backoff import Backoff, delay_s

_log = logging.getLogger(__name__)

# What a handler opens (a database, another service) may not be there yet, after a restart of the machine say.
PATIENCE = Backoff(first_s=0.5, multiplier=2.0, cap_s=30.0, jitter=0.2)
ONCE_TRIES = 3


async def start_up(hooks: Sequence[Hook], stopping: asyncio.Event, *, once: bool) -> bool:
    """Call each until it succeeds; False if we were told to stop before that.

    With `once` somebody waits for the end: raises what the third try raised.
    """
    for hook in hooks:
        failures = 0
        while True:
            if stopping.is_set():
                return False
            try:
                await call(hook)
                break
            except Exception as error:
                failures += 1
                if once and failures >= ONCE_TRIES:
                    raise
                wait_s = delay_s(PATIENCE, failures, random.random())  # noqa: S311
                _log.error(
                    "the handler's startup failed: %s: %s; no mail is taken, next try in %.1f s",
                    type(error).__name__, error, wait_s,
                )  # fmt: skip
                await _pause(stopping, wait_s)
    return True


async def shut_down(hooks: Sequence[Hook]) -> None:
    """Call each, whatever the others do."""
    for hook in hooks:
        try:
            await call(hook)
        except Exception:
            _log.exception("the handler's shutdown failed")


async def call(hook: Hook) -> None:
    """Call one hook to its end; raises what it raises."""
    answer = hook()
    if inspect.isawaitable(answer):
        await answer


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
