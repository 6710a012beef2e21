"""The handler's hooks: what it opens before its first mail in a worker process, and closes after its last."""

import asyncio
import inspect
import logging
import math
import random
import traceback
from collections.abc import Sequence
from concurrent.futures import thread
from pathlib import Path

from fastmail_ingest.errors import StartupFailed
from fastmail_ingest.handler import aside
from fastmail_ingest.handler.load import Hook
from fastmail_ingest.handler.overdue import Watch, overdue, watched
from fastmail_ingest.policy.backoff import Backoff, delay_s

_log = logging.getLogger(__name__)

# What a handler opens (a database, another service) may not be there yet, after a restart of the machine say.
PATIENCE = Backoff(first_s=0.5, multiplier=2.0, cap_s=30.0, jitter=0.2)
ONCE_TRIES = 3
_STEPS = frozenset({__file__, aside.__file__, thread.__file__})  # between a worker and a hook
_ENDLESS = Watch(math.inf)
_SHOWN_CHARS = 400  # of an exception's message: room is left for what to do


async def start_up(
    hooks: Sequence[Hook], stopping: asyncio.Event, *, once: bool, watch: Watch = _ENDLESS
) -> bool:
    """Call each until it succeeds; False if we were told to stop before that.

    One that takes longer than `watch` allows has failed. With `once` somebody waits for the end: raises
    StartupFailed when one has failed three times.
    """
    for hook in hooks:
        failures = 0
        while True:
            if stopping.is_set():
                return False
            try:
                await _in_time(hook, watch)
                break
            except Exception as error:
                failures += 1
                if once and failures >= ONCE_TRIES:
                    raise StartupFailed(_told(error)) from error
                wait_s = delay_s(PATIENCE, failures, random.random())  # noqa: S311
                # With `once` the error itself is told at the end, once for all workers.
                _log.error(
                    "the handler's startup failed: %s; no mail is taken, next try in %.1f s",
                    type(error).__name__ if once else f"{type(error).__name__}: {error}", wait_s,
                )  # fmt: skip
                await _pause(stopping, wait_s)
    return True


def _told(error: Exception) -> str:
    """The error with its place in the hook, and what to do."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _STEPS]
    place = f" ({Path(frames[0].filename).name}:{frames[0].lineno})" if frames else ""
    words = f"{type(error).__name__}: {error}"
    shown = words if len(words) <= _SHOWN_CHARS else f"{words[:_SHOWN_CHARS]}..."
    return (
        f"the handler's startup failed {ONCE_TRIES} times: {shown}{place}. "
        "remedy: mend it, or start what it opens (fastmail-ingest replay-eml shows its traceback), and run "
        "again: the mails wait in the stream"
    )


async def _in_time(hook: Hook, watch: Watch) -> None:
    name, own = name_of(hook), inspect.unwrap(hook)
    deadline = asyncio.timeout(None if math.isinf(watch.timeout_s) else watch.timeout_s)
    with watched(name, getattr(own, "__code__", None), watch):
        try:
            async with deadline:
                await call(hook)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise TimeoutError(overdue(name, watch.timeout_s)) from error


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


def name_of(hook: Hook) -> str:
    """The hook in words for a human, as in "shop.startup"."""
    hook = inspect.unwrap(hook)
    module = getattr(hook, "__module__", "")
    return f"{module}.{getattr(hook, '__qualname__', type(hook).__qualname__)}"


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
