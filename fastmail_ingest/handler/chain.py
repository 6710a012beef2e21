"""All handlers of a configuration as one: a chain calls them one after the other."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastmail_ingest.config import Config
from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.handler.aside import Aside
from fastmail_ingest.handler.boxed import BOX, NEVER_WAIT
from fastmail_ingest.handler.load import Handler, Hook, inspected, load_one
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.handler import says_not_done

__all__ = ["Handler", "load"]

_Call = Callable[[Any], Any]


def load(config: Config, search_paths: list[Path]) -> Handler:
    """The handler that the configuration names, or the chain of them; raises HandlerLoadError."""
    named = [(name, load_named(name, config, search_paths)) for name in config.handler.targets]
    return chained(named, config.handler.threads)


def load_named(name: str, config: Config, search_paths: list[Path]) -> Handler:
    """One handler, in the box or the user's; raises HandlerLoadError."""
    make = BOX.get(name)
    return load_one(name, search_paths) if make is None else inspected(name, make(config))


def chained(named: Sequence[tuple[str, Handler]], threads: int) -> Handler:
    """Handlers with their names as one; `threads` is `[handler] threads`."""
    loaded = [handler for _, handler in named]
    if len(loaded) == 1:
        return loaded[0]
    if any(handler.is_async for handler in loaded):
        may_wait = [not handler.is_async and name not in NEVER_WAIT for name, handler in named]
        # One thread, unless more are asked for: a handler that knows of none is called by one at a time.
        return _async_chain(loaded, may_wait, Aside(threads or 1))
    return Handler(
        _one_after_the_other(loaded),
        is_async=False,
        is_batch=False,
        startup=_each_once(handler.startup for handler in loaded),
        # In reverse: what was opened last is closed first.
        shutdown=_each_once(handler.shutdown for handler in loaded)[::-1],
    )


def _async_chain(loaded: Sequence[Handler], may_wait: Sequence[bool], aside: Aside) -> Handler:
    """The chain for an event loop; those that may make it wait are called in a thread, with their hooks."""
    calls: list[_Call] = [
        partial(aside.call, handler.function) if waits else handler.function
        for handler, waits in zip(loaded, may_wait, strict=True)
    ]

    def hooks(of_each: Sequence[Sequence[Hook]]) -> list[Hook]:
        pairs = list(zip(of_each, may_wait, strict=True))
        # One that an async handler of the same module needs, too, belongs to the loop.
        on_loop = [hook for found, waits in pairs if not waits for hook in found]
        return [hook if hook in on_loop else aside.hook(hook) for hook in _each_once(of_each)]

    return Handler(
        _one_after_the_other_async(loaded, calls),
        is_async=True,
        is_batch=False,
        startup=hooks([handler.startup for handler in loaded]),
        shutdown=hooks([handler.shutdown for handler in loaded])[::-1],
    )


def _each_once(of_each: Iterable[Sequence[Hook]]) -> list[Hook]:
    """All hooks in their order; handlers of one module share theirs."""
    found: list[Hook] = []
    for hooks in of_each:
        found += [hook for hook in hooks if hook not in found]
    return found


def _one_after_the_other(loaded: Sequence[Handler]) -> Callable[[Email], object]:
    def handle(email: Email) -> object:
        for handler in loaded:
            answer = handler.function(_given(handler, email))
            if answer is None:
                continue
            if inspect.isawaitable(answer):
                return answer  # refused by whoever calls us: nothing has been done yet
            if handler.is_batch:
                _raise_outcome(answer)
            elif says_not_done(answer):
                raise answer
        return None

    return handle


def _one_after_the_other_async(loaded: Sequence[Handler], calls: Sequence[_Call]) -> Callable[[Email], Any]:
    members = list(zip(loaded, calls, strict=True))

    async def handle(email: Email) -> None:
        for handler, call in members:
            answer = call(_given(handler, email))
            while inspect.isawaitable(answer):
                answer = await answer
            if handler.is_batch:
                _raise_outcome(answer)
            elif says_not_done(answer):
                raise answer

    return handle


def _given(handler: Handler, email: Email) -> Email | list[Email]:
    """A batch handler in a chain gets lists of one: what stands before it may stop any mail."""
    return [email] if handler.is_batch else email


def _raise_outcome(answer: object) -> None:
    """Raise what a batch handler said of its one mail."""
    if answer is None:
        return
    outcome = answer[0] if isinstance(answer, (list, tuple)) and len(answer) == 1 else answer
    if isinstance(outcome, (Retry, Reject)):
        raise outcome
    if outcome is not None:
        raise TypeError("a batch handler returns None or a list with None, Retry(...) or Reject(...) a mail")
