"""A hook that hangs blocks the event loop, perhaps: who tells of it, and ends it, is a thread beside it."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import msgspec

_log = logging.getLogger(__name__)

TOLD_AFTER_S = 10.0
_LOOK_EVERY_S = 0.5
# One that can be cancelled has been by then.
_GRACE_S = 1.0


class Watch(msgspec.Struct, frozen=True):
    """How long a hook may take, and who is told: `alive` again and again until then, `hung` once after it."""

    timeout_s: float
    alive: Callable[[], None] = lambda: None
    hung: Callable[[str], None] = lambda _: None


@contextmanager
def watched(name: str, code: CodeType | None, watch: Watch) -> Iterator[None]:
    """Tell of what takes long within; `code` is that of the hook, so that the line can be said it is at."""
    ended, began = threading.Event(), time.monotonic()

    def look() -> None:
        told = False
        while not ended.wait(min(_LOOK_EVERY_S, watch.timeout_s)):
            took_s = time.monotonic() - began
            if took_s > watch.timeout_s + _GRACE_S:
                watch.hung(overdue(f"{name}{_place(code)}", watch.timeout_s))
                return
            watch.alive()
            if not told and took_s > TOLD_AFTER_S:
                told = True
                _log.warning(
                    "%s%s has not ended for %.0f s; no mail is taken meanwhile",
                    name, _place(code), took_s,
                )  # fmt: skip

    threading.Thread(target=look, name="overdue", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def overdue(name: str, timeout_s: float) -> str:
    """What is said of a hook that is not finished in time."""
    return (
        f"{name} is not finished after handler.timeout = {timeout_s:g} s. remedy: give what it opens a "
        "timeout, or raise [handler] timeout"
    )


def _place(code: CodeType | None) -> str:
    """The line of the hook's file that some thread is at; empty if it waits elsewhere."""
    if code is None:
        return ""
    for frame in sys._current_frames().values():  # noqa: SLF001 - documented: meant for debugging deadlocks
        own = [each for each in traceback.extract_stack(frame) if each.filename == code.co_filename]
        if own:
            return f" ({Path(own[-1].filename).name}:{own[-1].lineno})"
    return ""
