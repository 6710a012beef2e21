"""The log of a process: where its lines go, in which form, and what else is written there."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from fastmail_ingest.telemetry import lines
from fastmail_ingest.telemetry.printed import Printed
from fastmail_ingest.telemetry.repeats import LineHandler

# At level debug these tell whole commands, requests or tokens: a secret must have no way into a log.
TALKATIVE = (
    "aiohttp", "google", "httpcore", "httpx", "imapclient", "msal", "oauthlib", "opentelemetry", "psycopg",
    "redis", "requests", "requests_oauthlib", "urllib3",
)  # fmt: skip

_handler: LineHandler | None = None


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (stderr); form is auto, json or text."""
    global _handler  # noqa: PLW0603 - a process has one log
    out = stream or sys.stderr
    text = form == "text" or (form == "auto" and out.isatty())
    _handler = LineHandler(out)
    _handler.setFormatter(_text_form(out) if text else lines.JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [_handler]
    root.setLevel(level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _text_form(out: TextIO) -> lines.TextLines:
    return lines.TextLines(color=out.isatty() and not os.environ.get("NO_COLOR"))


def in_child(name: str, work: Callable[[], int]) -> int:
    """A child's life: its lines have its name, what it prints become such lines, none is left untold."""
    lines.set_component(name)
    if _handler is None:
        return work()
    _handler.may_start_threads = True
    # Of that process alone: it ends with its work.
    sys.stderr = Printed(_handler, "stderr")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = Printed(_beside(_handler, sys.stdout), "stdout")
    with told():
        return work()


def _beside(handler: LineHandler, out: TextIO) -> "logging.StreamHandler[TextIO]":
    """One that writes to `out`, in the same form."""
    beside = logging.StreamHandler(out)
    text = isinstance(handler.formatter, lines.TextLines)
    beside.setFormatter(_text_form(out) if text else handler.formatter)
    return beside


@contextmanager
def told() -> Iterator[None]:
    """Tell what was held back when this is over."""
    try:
        yield
    finally:
        if _handler is not None:
            _handler.tell_all()
