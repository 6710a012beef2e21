"""Built-in handlers, chains of handlers, and the hooks around them."""

import asyncio
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fastmail_ingest.config import Config, HandlerConfig
from fastmail_ingest.config.builtin import BUILT_IN
from fastmail_ingest.errors import HandlerLoadError, Reject, StartupFailed
from fastmail_ingest.handler import builtin, hooks
from fastmail_ingest.handler.boxed import BOX
from fastmail_ingest.handler.chain import Handler, load
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.supervisor.slots import MESSAGE_MAX_BYTES

MODULE = """
from fastmail_ingest import Reject, batch_handler
seen = []
def one(email): seen.append(("one", email))
def two(email): seen.append(("two", email))
async def three(email): seen.append(("three", email))
def fails(email): raise KeyError("customer")
@batch_handler
def many(emails): seen.append(("many", emails))
@batch_handler
async def many_async(emails): seen.append(("many async", emails))
@batch_handler
def rejects(emails): return [Reject("not for us")]
def returns(email): return Reject("not for us")
async def returns_later(email): return Reject("not for us")
@batch_handler
def confuses(emails): return [None, None]
async def answer(emails): return [Reject("not for us")]
rejects_later = batch_handler(lambda emails: answer(emails))
def startup(): seen.append("startup")
async def shutdown(): seen.append("shutdown")
class Pool:
    def __call__(self, email): seen.append(("pool", email))
    async def startup(self): seen.append("pool opens")
    def shutdown(self): seen.append("pool closes")
pool = Pool()
from helper_of_chained import unwrapped
decorated = unwrapped(one)
"""
HELPER = """
def unwrapped(function):
    def called(email): return function(email)
    return called
def other(email): ...
other.__module__ = "chained_handlers"
"""
WITH_ARGUMENT = "def handle(email): pass\ndef startup(config): pass\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "chained_handlers.py").write_text(MODULE)
    (tmp_path / "helper_of_chained.py").write_text(HELPER)
    (tmp_path / "odd_hooks.py").write_text(WITH_ARGUMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("chained_handlers", "helper_of_chained", "odd_hooks"):
        sys.modules.pop(name, None)
    return importlib.import_module("chained_handlers")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "PATIENCE", Backoff(0.001, 1.0, 0.001, 0.0))


def config(*names: str) -> Config:
    built_in = ("noop", "log")
    handlers = [name if name in built_in else f"chained_handlers:{name}" for name in names]
    return Config(handler=HandlerConfig(handlers=handlers))


def test_the_box_holds_what_the_configuration_names() -> None:
    assert set(BOX) == set(BUILT_IN)


@pytest.mark.parametrize("name", ["noop", "log"])
def test_built_in(name: str) -> None:
    handler = load(Config(handler=HandlerConfig(target=name)), [])
    assert handler.function is getattr(builtin, name)


def test_a_chain_calls_one_after_the_other(module: ModuleType) -> None:
    handler = load(config("one", "two", "noop"), [])
    assert not handler.is_async
    handler.function("mail")
    assert module.seen == [("one", "mail"), ("two", "mail")]


def test_a_chain_with_an_async_handler_is_async(module: ModuleType) -> None:
    handler = load(config("one", "three", "two"), [])
    assert handler.is_async
    asyncio.run(handler.function("mail"))
    assert module.seen == [("one", "mail"), ("three", "mail"), ("two", "mail")]


def test_what_one_raises_is_the_outcome_and_those_behind_are_not_called(module: ModuleType) -> None:
    plain, is_async = load(config("one", "fails", "two"), []), load(config("one", "fails", "three"), [])
    with pytest.raises(KeyError):
        plain.function("mail")
    with pytest.raises(KeyError):
        asyncio.run(is_async.function("mail"))
    assert module.seen == [("one", "mail"), ("one", "mail")]


def test_a_batch_handler_gets_lists_of_one_in_a_chain(module: ModuleType) -> None:
    assert load(config("many"), []).is_batch
    plain, is_async = load(config("one", "many"), []), load(config("one", "many_async"), [])
    assert not plain.is_batch
    plain.function("mail")
    asyncio.run(is_async.function("mail"))
    assert module.seen == [("one", "mail"), ("many", ["mail"]), ("one", "mail"), ("many async", ["mail"])]


def test_what_a_batch_handler_says_of_its_mail_is_the_outcome_of_a_chain(module: ModuleType) -> None:
    for word, error in (("rejects", Reject), ("confuses", TypeError)):
        with pytest.raises(error):
            load(config(word, "one"), []).function("mail")
        with pytest.raises(error):
            asyncio.run(load(config(word, "three"), []).function("mail"))
    assert module.seen == []


def test_so_it_is_if_a_sync_one_says_it_by_an_awaitable(module: ModuleType) -> None:
    with pytest.raises(Reject):
        asyncio.run(load(config("rejects_later", "three"), []).function("mail"))
    answer = load(config("rejects_later", "one"), []).function("mail")
    assert asyncio.iscoroutine(answer)  # whoever calls a sync handler refuses it
    answer.close()
    assert module.seen == []


def test_hooks_are_those_of_the_module_or_of_the_object(module: ModuleType) -> None:
    handler = load(config("pool", "one"), [])

    async def live() -> None:
        await hooks.start_up(handler.startup, asyncio.Event(), once=True)
        handler.function("mail")
        await hooks.shut_down(handler.shutdown)

    asyncio.run(live())
    called = [("pool", "mail"), ("one", "mail")]
    assert module.seen == ["pool opens", "startup", *called, "shutdown", "pool closes"]


def test_hooks_that_handlers_share_are_called_once(module: ModuleType) -> None:
    for last in ("two", "three"):  # all sync, and not
        handler = load(config("one", "pool", "pool", last), [])

        async def live(handler: Handler = handler) -> None:
            await hooks.start_up(handler.startup, asyncio.Event(), once=True)
            await hooks.shut_down(handler.shutdown)

        asyncio.run(live())
        assert module.seen == ["startup", "pool opens", "pool closes", "shutdown"]
        module.seen.clear()


def test_hooks_are_found_through_a_decorator_that_tells_nothing(module: ModuleType) -> None:
    assert module.decorated.__module__ == "helper_of_chained"
    handler = load(Config(handler=HandlerConfig(target="chained_handlers:decorated")), [])
    assert list(handler.startup) == [module.startup]
    assert list(handler.shutdown) == [module.shutdown]
    # One that is only named elsewhere has those of the module that it was made in.
    handler = load(Config(handler=HandlerConfig(target="helper_of_chained:other")), [])
    assert list(handler.startup) == [module.startup]


@pytest.mark.usefixtures("module")
def test_a_hook_that_wants_arguments_is_refused() -> None:
    with pytest.raises(HandlerLoadError, match="its startup cannot be called"):
        load(Config(handler=HandlerConfig(target="odd_hooks:handle")), [])


@pytest.mark.usefixtures("at_once")
def test_a_startup_that_fails_is_tried_again_until_it_succeeds() -> None:
    tries = []

    def fails_twice() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("the database is starting")

    asyncio.run(hooks.start_up([fails_twice], asyncio.Event(), once=False))
    assert len(tries) == 3


@pytest.mark.usefixtures("at_once")
def test_a_startup_that_fails_ends_when_we_stop() -> None:
    called = []

    async def stopped() -> None:
        stopping = asyncio.Event()

        def fails_and_stops() -> None:
            stopping.set()
            raise ConnectionError

        await hooks.start_up([fails_and_stops, lambda: called.append(1)], stopping, once=False)

    asyncio.run(stopped())
    assert called == []


@pytest.mark.usefixtures("at_once")
def test_with_once_a_startup_that_fails_again_and_again_is_told() -> None:
    tries = []

    def fails() -> None:
        tries.append(1)
        raise ConnectionError("no database" + "!" * 5000)

    with pytest.raises(StartupFailed, match="3 times: ConnectionError: no database!") as raised:
        asyncio.run(hooks.start_up([fails], asyncio.Event(), once=True))
    assert len(tries) == 3
    told = str(raised.value)
    assert f"({Path(__file__).name}:" in told
    assert told.endswith("the mails wait in the stream")
    assert len(told.encode()) <= MESSAGE_MAX_BYTES


def test_a_shutdown_that_fails_keeps_the_others_from_nothing() -> None:
    closed = []

    def fails() -> None:
        raise OSError("gone already")

    asyncio.run(hooks.shut_down([fails, lambda: closed.append(1)]))
    assert closed == [1]


def test_an_outcome_that_is_returned_for_one_mail_is_heeded(module: ModuleType) -> None:
    with pytest.raises(Reject):
        load(config("returns", "one"), []).function("mail")
    for names in (("returns", "three"), ("returns_later", "one")):
        with pytest.raises(Reject):
            asyncio.run(load(config(*names), []).function("mail"))
    assert module.seen == []
