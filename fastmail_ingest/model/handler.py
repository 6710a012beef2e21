"""The mark that tells a batch handler from one that takes a single mail."""

from collections.abc import Callable
from typing import Any, TypeVar

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
