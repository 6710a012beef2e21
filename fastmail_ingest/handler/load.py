"""From `module:function` in the configuration to something that can be called."""

import importlib
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.model.handler import is_batch_handler

_log = logging.getLogger(__name__)

Hook: TypeAlias = Callable[[], object]
"""Called once in each worker process; may be async."""

_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_HOOKS = ("startup", "shutdown")


@dataclass(frozen=True)
class Handler:
    """A handler and the way it wants to be called; its hooks come before the first and after the last."""

    function: Callable[..., Any]
    is_async: bool
    is_batch: bool
    startup: Sequence[Hook] = ()
    shutdown: Sequence[Hook] = ()


def load_one(target: str, search_paths: list[Path]) -> Handler:
    """Import one handler; raises HandlerLoadError that says what is wrong and what to do.

    `search_paths` come first in sys.path, so that a handler beside the configuration file is found.
    """
    return inspected(target, _import(target, search_paths))


def inspected(target: str, function: object) -> Handler:
    """How a handler wants to be called; raises HandlerLoadError for what is no handler.

    Its hooks are functions named startup and shutdown: its own if it is an object that has some, else those
    of the module that the target names, else of the one that it was made in.
    """
    if not callable(function):
        raise HandlerLoadError(f"[handler] target {target!r} is no function but {type(function).__name__}")
    if inspect.isclass(function):
        raise HandlerLoadError(
            f"[handler] target {target!r} is a class. remedy: make an instance at module level "
            f"(handle = {function.__name__}()) and name that"
        )
    _check_signature(target, function)
    # A callable object is what its class's __call__ is; a partial is what it wraps.
    forms = (function, type(function).__call__)
    if any(inspect.isgeneratorfunction(form) or inspect.isasyncgenfunction(form) for form in forms):
        raise HandlerLoadError(
            f"[handler] target {target!r} is a generator: calling it runs nothing. remedy: remove the yield"
        )
    home = _home(target, function)
    return Handler(
        function,
        any(inspect.iscoroutinefunction(form) for form in forms),
        any(is_batch_handler(form) for form in forms),
        _hooks(target, home, "startup"),
        _hooks(target, home, "shutdown"),
    )


def _home(target: str, function: Callable[..., Any]) -> object:
    """What has the hooks of a handler; None if nothing has.

    A decorator without functools.wraps makes a function of its own module, and says nothing of the handler's.
    """
    homes: list[object] = [] if inspect.isfunction(function) else [function]
    named, has_attribute, _ = target.partition(":")
    homes += [sys.modules.get(named)] if has_attribute else []
    homes += [sys.modules.get(function.__module__)] if inspect.isfunction(function) else []
    return next((home for home in homes if any(callable(getattr(home, name, None)) for name in _HOOKS)), None)


def _hooks(target: str, home: object, name: str) -> list[Hook]:
    hook = getattr(home, name, None)
    if hook is None or not callable(hook):
        return []
    try:
        inspect.signature(hook).bind()
    except TypeError as error:
        raise HandlerLoadError(
            f"[handler] target {target!r}: its {name} cannot be called: {error}. remedy: def {name}(): ..."
        ) from error
    return [hook]


def _import(target: str, search_paths: list[Path]) -> object:
    module_name, _, attribute = target.partition(":")
    for path in reversed(search_paths):
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
    threads_before = threading.active_count()
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise HandlerLoadError(_not_found(target, module_name, error, search_paths)) from error
    except BaseException as error:
        raise HandlerLoadError(
            f"[handler] target {target!r}: importing {module_name} failed: {type(error).__name__}: {error}"
            f"{_place(error)}"
        ) from error
    if threading.active_count() > threads_before:
        _log.warning(
            "importing handler %s started threads; they do not survive a fork. "
            "remedy: start them on the first call of the handler",
            target,
        )
    return _attribute(target, found, attribute)


def _attribute(target: str, found: object, attribute: str) -> object:
    module = found
    for name in attribute.split("."):
        if not hasattr(found, name):
            functions = sorted(name for name, value in vars(module).items() if inspect.isfunction(value))
            raise HandlerLoadError(
                f"[handler] target {target!r}: there is no {name!r} in it. "
                f"remedy: name one of its functions: {', '.join(functions[:8]) or 'it has none'}"
            )
        found = getattr(found, name)
    return found


def _not_found(target: str, module_name: str, error: ModuleNotFoundError, search_paths: list[Path]) -> str:
    if error.name and not (module_name == error.name or module_name.startswith(f"{error.name}.")):
        return (
            f"[handler] target {target!r}: {module_name} imports {error.name!r}, which is not installed. "
            f"remedy: install it into the environment of fastmail-ingest ({sys.prefix})"
        )
    looked = ", ".join(str(path) for path in search_paths)
    return (
        f"[handler] target {target!r}: there is no module {module_name!r}; looked in {looked} and in the "
        "installed packages. remedy: start fastmail-ingest in the directory of your module, or put the "
        "configuration file beside it"
    )


def _place(error: BaseException) -> str:
    """File and line of the user's code where an import failed."""
    trace = error.__traceback__
    last = None
    while trace is not None:
        # What interrupts an import is raised in code of ours.
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            last = trace
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})"
    return f" ({last.tb_frame.f_code.co_filename}, line {last.tb_lineno})" if last is not None else ""


def _check_signature(target: str, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise HandlerLoadError(
            f"[handler] target {target!r} cannot be called with one mail: {error}. "
            "remedy: def handle(email): ..."
        ) from error
    except ValueError:
        return  # a builtin without a signature: calling it will tell
