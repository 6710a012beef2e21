"""The mark that tells a batch handler from one that takes a single mail."""

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

from fastmail_ingest.errors import Reject, Retry

_MARK = "__fastmail_ingest_batch__"
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def batch_handler(function: _Handler) -> _Handler:
    """Mark `function` (sync or async) as taking `list[Email]` instead of one `Email`.

    It may return None (all mails are done) or one outcome for each mail, in order: None (done),
    a `Retry` or a `Reject` instance. If it raises, its mails are handed to it again one by one,
    so that only the mail at fault is retried.
    """
    setattr(function, _MARK, True)
    return function


def is_batch_handler(function: Callable[..., Any]) -> bool:
    """Tell whether `function` was marked by `batch_handler`."""
    return getattr(function, _MARK, False) is True


def says_not_done(answer: object) -> TypeGuard[BaseException]:
    """Whether a handler of single mails has returned what it should have raised.

    Any exception, and Retry or Reject without their brackets: to take that for done would lose the mail.
    """
    return isinstance(answer, BaseException) or answer is Retry or answer is Reject
