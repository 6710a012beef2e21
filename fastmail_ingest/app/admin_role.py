"""The admin process: it answers HTTP, from slots and Redis. Nobody waits for it; it may die at any time."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from typing import TypeVar

import uvloop

from fastmail_ingest import __version__
from fastmail_ingest.admin.guard import Guard
from fastmail_ingest.admin.history import History
from fastmail_ingest.admin.latency import LatencyLook
from fastmail_ingest.admin.letters import Letters
from fastmail_ingest.admin.listener import Listener
from fastmail_ingest.admin.look import ANSWER_TIMEOUT_S, RedisLook
from fastmail_ingest.admin.ports import Parts
from fastmail_ingest.admin.server import listeners
from fastmail_ingest.admin.threads import Threads
from fastmail_ingest.admin.watch import About, Watch
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.app.scrape import exposition
from fastmail_ingest.errors import EXIT_OK
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.policy.readiness import Limits
from fastmail_ingest.stream.dead_letters import DeadLetters
from fastmail_ingest.stream.overview import Overview
from fastmail_ingest.stream.reach import Tool
from fastmail_ingest.stream.schedule import RetrySchedule
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.telemetry.catalogue import END_TO_END_LATENCY
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.exposition import Exposition

_log = logging.getLogger(__name__)


def run_admin(runtime: Runtime, child: Child, history: History) -> int:
    """The whole life of the admin process; returns its exit code."""
    uvloop.run(_serve(runtime, child, history))
    return EXIT_OK


async def _serve(runtime: Runtime, child: Child, history: History) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    # Our own Redis stops before we do.
    look = RedisLook(_tool(runtime, Overview), runtime.config.accounts, lambda: child.table.board.draining)
    about = About(__version__, runtime.node, limits(runtime), runtime.mailboxes)
    metrics = exposition(runtime, child.table, lambda: watch.snapshot)
    latency = LatencyLook(lambda: metrics.buckets(END_TO_END_LATENCY, lane=Lane.LIVE.label))
    watch = Watch(about, child.table, look, latency, history)
    parts = _parts(runtime, metrics, watch, stopping.is_set)
    serving = listeners(runtime.config.admin, parts)
    look.start()
    latency.start()
    watching = asyncio.create_task(watch.run(lambda: child.slot.put(Counter.ALIVE_NS, time.monotonic_ns())))
    opening = [asyncio.create_task(listener.open()) for listener in serving]
    for task in (watching, *opening):
        task.add_done_callback(lambda ended: _stop_if_failed(ended, stopping))
    child.slot.ready()
    await stopping.wait()
    watching.cancel()
    await _close(opening, serving)
    parts.threads.close()
    look.stop()
    latency.stop()


def _stop_if_failed(task: asyncio.Task[None], stopping: asyncio.Event) -> None:
    """Half a server is worse than a new one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the HTTP server is started anew: %r", error)
        stopping.set()


async def _close(opening: list[asyncio.Task[None]], serving: list[Listener]) -> None:
    for task in opening:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for listener in serving:
        await listener.close()


def _parts(runtime: Runtime, metrics: Exposition, watch: Watch, stopping: Callable[[], bool]) -> Parts:
    dead = _tool(runtime, DeadLetters)
    dead.blobs = runtime.blobs
    return Parts(
        guard=Guard(runtime.config.admin),
        watch=watch,
        threads=Threads(),
        letters=Letters(dead),
        retries=_tool(runtime, RetrySchedule),
        metrics=metrics,
        stopping=stopping,
    )


def limits(runtime: Runtime) -> Limits:
    """From when on /ready fails."""
    admin, producer = runtime.config.admin, runtime.config.producer
    return Limits(
        silence_s=admin.silence,
        freshness_s=admin.freshness or 2 * (producer.poll_max + producer.timeout),
        backlog_age_s=admin.backlog_age,
        dead_growth=admin.dead_growth,
        deaths=admin.deaths,
    )


_T = TypeVar("_T", bound=Tool)


def _tool(runtime: Runtime, kind: type[_T]) -> _T:
    """An operator's tool with a deadline for people who wait, and without asking Redis yet."""
    return kind(runtime.redis_url, runtime.config.redis.password, runtime.arguments, ANSWER_TIMEOUT_S)
