"""All handlers of a configuration as one: a chain calls them one after the other."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastmail_ingest.config import Config
from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.handler.boxed import BOX
from fastmail_ingest.handler.load import Handler, inspected, load_one
from fastmail_ingest.model.email import Email

__all__ = ["Handler", "load"]


def load(config: Config, search_paths: list[Path]) -> Handler:
    """The handler that the configuration names, or the chain of them; raises HandlerLoadError."""
    names = config.handler.targets
    loaded = [_load(name, config, search_paths) for name in names]
    if len(loaded) == 1:
        return loaded[0]
    is_async = any(handler.is_async for handler in loaded)
    functions = [_for_one_mail(handler) for handler in loaded]
    return Handler(
        _one_after_the_other_async(functions) if is_async else _one_after_the_other(functions),
        is_async,
        is_batch=False,
        startup=[hook for handler in loaded for hook in handler.startup],
        # In reverse: what was opened last is closed first.
        shutdown=[hook for handler in reversed(loaded) for hook in handler.shutdown],
    )


def _load(name: str, config: Config, search_paths: list[Path]) -> Handler:
    make = BOX.get(name)
    return load_one(name, search_paths) if make is None else inspected(name, make(config))


def _for_one_mail(handler: Handler) -> Callable[[Email], Any]:
    """A batch handler in a chain gets lists of one: what stands before it may stop any mail."""
    if not handler.is_batch:
        return handler.function
    if handler.is_async:

        async def one_async(email: Email) -> None:
            _raise_outcome(await handler.function([email]))

        return one_async

    def one(email: Email) -> object:
        answer = handler.function([email])
        if inspect.isawaitable(answer):
            return answer
        _raise_outcome(answer)
        return None

    return one


def _raise_outcome(answer: object) -> None:
    """Raise what a batch handler said of its one mail."""
    if answer is None:
        return
    outcome = answer[0] if isinstance(answer, (list, tuple)) and len(answer) == 1 else answer
    if isinstance(outcome, (Retry, Reject)):
        raise outcome
    if outcome is not None:
        raise TypeError("a batch handler returns None or a list with None, Retry(...) or Reject(...) a mail")


def _one_after_the_other(functions: Sequence[Callable[[Email], object]]) -> Callable[[Email], object]:
    def handle(email: Email) -> object:
        for function in functions:
            if (answer := function(email)) is not None and inspect.isawaitable(answer):
                return answer  # refused by whoever calls us: nothing has been done yet
        return None

    return handle


def _one_after_the_other_async(functions: Sequence[Callable[[Email], Any]]) -> Callable[[Email], Any]:
    async def handle(email: Email) -> None:
        for function in functions:
            answer = function(email)
            if inspect.isawaitable(answer):
                await answer

    return handle
