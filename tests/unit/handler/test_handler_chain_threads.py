"""In a chain with an async handler the sync ones run in threads: they keep the event loop from nothing."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fastmail_ingest.config import Config, HandlerConfig
from fastmail_ingest.errors import StartupFailed
from fastmail_ingest.handler import boxed, hooks
from fastmail_ingest.handler.boxed import BOX, NEVER_WAIT
from fastmail_ingest.handler.chain import load
from fastmail_ingest.policy.backoff import Backoff

MODULE = """
import sqlite3, threading
from contextvars import ContextVar
gate, begun, seen = threading.Event(), threading.Semaphore(0), []
correlation = ContextVar("correlation", default="")
async def sees_nothing(email): ...
async def quick(email): seen.append(("quick", email))
def waits(email):
    begun.release()
    assert gate.wait(30)
    seen.append(("waits", email))
def finds_nothing(email): return next(iter(()))
def tells(email): seen.append((correlation.get(), threading.current_thread().name))
class Kept:
    def startup(self): self.connection = sqlite3.connect(":memory:")
    def shutdown(self): self.connection.close()
    def __call__(self, email): seen.append(self.connection.execute("SELECT 1").fetchone())
kept = Kept()
class Fails:
    def startup(self): raise ConnectionError("no database")
    def __call__(self, email): ...
fails = Fails()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "threaded_handlers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("threaded_handlers", None)
    import threaded_handlers  # noqa: PLC0415 # type: ignore[import-not-found]

    yield threaded_handlers
    threaded_handlers.gate.set()


def chain(*names: str, threads: int = 0) -> Any:
    targets = [name if name in BOX else f"threaded_handlers:{name}" for name in names]
    return load(Config(handler=HandlerConfig(handlers=targets, threads=threads)), [])


async def begins(module: Any) -> None:
    """Wait until one more call of `waits` has begun."""
    assert await asyncio.to_thread(module.begun.acquire, timeout=30)


def test_one_that_waits_keeps_others_from_nothing(module: Any) -> None:
    waits, quick = chain("waits", "quick"), chain("quick", "quick")

    async def both() -> None:
        waiting = asyncio.create_task(waits.function("slow"))
        await begins(module)
        await quick.function("quick")
        assert not waiting.done()
        module.gate.set()
        await waiting

    asyncio.run(both())
    assert module.seen == [("quick", "quick")] * 2 + [("waits", "slow"), ("quick", "slow")]


def test_one_at_a_time_unless_threads_are_asked_for(module: Any) -> None:
    async def three(threads: int, together: int) -> None:
        handler = chain("waits", "quick", threads=threads)
        tasks = [asyncio.create_task(handler.function(number)) for number in range(3)]
        for _ in range(together):
            await begins(module)
        assert not module.begun.acquire(blocking=False)
        module.gate.set()
        await asyncio.gather(*tasks)
        for _ in range(3 - together):
            await begins(module)
        module.gate.clear()

    asyncio.run(three(0, 1))
    asyncio.run(three(2, 2))


def test_one_that_takes_too_long_is_waited_for_and_nothing_behind_it_is_called(module: Any) -> None:
    """A thread cannot be stopped: to try again while it runs would be to handle the mail twice at once."""
    handler = chain("waits", "quick")

    async def cancel() -> None:
        first, queued = (asyncio.create_task(handler.function(name)) for name in ("first", "queued"))
        await begins(module)
        first.cancel()
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued  # nothing of it has happened
        assert not first.done()
        module.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(cancel())
    assert module.seen == [("waits", "first")]


def test_what_one_raises_is_told_even_if_no_future_takes_it(module: Any) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(chain("finds_nothing", "quick").function("mail"))
    assert module.seen == []


def test_the_hooks_run_where_the_handler_runs(module: Any) -> None:
    """What they open may belong to its thread: a connection of sqlite3 does."""
    handler = chain("kept", "quick")

    async def live() -> None:
        await hooks.start_up(handler.startup, asyncio.Event(), once=True)
        await handler.function("mail")
        await hooks.shut_down(handler.shutdown)

    asyncio.run(live())
    assert module.seen == [(1,), ("quick", "mail")]


def test_a_startup_that_fails_is_told_with_its_own_place(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE", Backoff(0.001, 1.0, 0.001, 0.0))
    with pytest.raises(StartupFailed, match=r"no database \(threaded_handlers\.py:\d+\)"):
        asyncio.run(hooks.start_up(chain("fails", "quick").startup, asyncio.Event(), once=True))


@pytest.mark.parametrize("name", ["fails", "kept"])
def test_a_mail_is_freed_as_soon_as_it_is_done_with(name: str, module: Any) -> None:
    """At once: the collector counts objects, and a large mail is but one."""

    class Mail: ...

    async def handled() -> weakref.ref[Mail]:
        mail = Mail()
        with suppress(AttributeError):  # `kept` was not opened
            await chain(name, "sees_nothing").function(mail)
        return weakref.ref(mail)

    gc.disable()
    try:
        assert asyncio.run(handled())() is None
    finally:
        gc.enable()


def test_context_goes_along(module: Any) -> None:
    async def with_context() -> None:
        module.correlation.set("abc")
        await chain("tells", "quick").function("mail")

    asyncio.run(with_context())
    assert module.seen[0] == ("abc", "handler_0")


def test_those_in_the_box_that_wait_for_nothing_stay_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(BOX) >= NEVER_WAIT
    assert not [name for name in NEVER_WAIT if load(Config(handler=HandlerConfig(target=name)), []).is_async]
    called: list[threading.Thread] = []
    monkeypatch.setattr(boxed.builtin, "noop", lambda email: called.append(threading.current_thread()))

    async def quick(email: object) -> None: ...

    monkeypatch.setitem(sys.modules, "quick_one", type("Module", (), {"quick": staticmethod(quick)}))
    handler = load(Config(handler=HandlerConfig(handlers=["noop", "quick_one:quick"])), [])
    asyncio.run(handler.function("mail"))
    assert called == [threading.main_thread()]
