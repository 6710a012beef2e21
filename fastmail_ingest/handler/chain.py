"""All handlers of a configuration as one: a chain calls them one after the other."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastmail_ingest.config import Config
from fastmail_ingest.errors import HandlerLoadError
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
    for name, handler in zip(names, loaded, strict=True):
        if handler.is_batch:
            raise HandlerLoadError(
                f"[handler] handlers: {name!r} takes lists of mails and cannot stand in a chain. "
                "remedy: name it alone, or let it take one mail"
            )
    is_async = any(handler.is_async for handler in loaded)
    functions = [handler.function for handler in loaded]
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
