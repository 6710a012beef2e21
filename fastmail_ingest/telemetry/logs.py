"""Log lines: one JSON object each, or text on a terminal."""

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

import orjson

_COLORS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
FAILURES_PER_S = 10
_NO_COLOR = "\033[0m"


class JsonLines(logging.Formatter):
    """One JSON object a line; control characters in a mail's subject cannot forge a second one."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": component,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        correlation_id = getattr(record, "correlation_id", None)
        if correlation_id:
            line["correlation_id"] = correlation_id
        mail = getattr(record, "mail", None)
        if isinstance(mail, dict):
            line["mail"] = {
                key: _whole(each) if isinstance(each, str) else each for key, each in mail.items()
            }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        whole = {key: _whole(value) if isinstance(value, str) else value for key, value in line.items()}
        return orjson.dumps(whole, default=str).decode()


class TextLines(logging.Formatter):
    """Time, component, message; warnings coloured on a terminal."""

    def __init__(self, color: bool) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        text = _printable(record.getMessage())
        if record.exc_info:
            text += "".join(
                f"\n{_printable(row)}" for row in self.formatException(record.exc_info).splitlines()
            )
        color = _COLORS.get(record.levelname, "") if self._color else ""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{clock} {component:<12} {color}{level}{text}{_NO_COLOR if color else ''}"


component = "supervisor"


def set_component(name: str) -> None:
    """Name the process in its log lines, e.g. `worker-3`."""
    global component  # noqa: PLW0603 - one process has one name, and every record needs it
    component = name


class Sparse(logging.Filter):
    """Lets through so many records a second; the next one says how many were held back."""

    def __init__(self, per_s: int) -> None:
        super().__init__()
        self._per_s = per_s
        self._second = 0
        self._passed = 0
        self._held_back = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on a record."""
        second = int(record.created)
        if second != self._second:
            self._second, self._passed = second, 0
        self._passed += 1
        if self._passed > self._per_s:
            self._held_back += 1
            return False
        if self._held_back:
            record.msg = f"{record.msg} ({self._held_back} lines like this were left out before)"
            self._held_back = 0
        return True


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (stderr); form is auto, json or text."""
    out = stream or sys.stderr
    terminal = out.isatty()
    text = form == "text" or (form == "auto" and terminal)
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextLines(terminal and "NO_COLOR" not in os.environ) if text else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A handler that fails on every mail must not bury the log, or wait for the disk that takes it.
    logging.getLogger("fastmail_ingest.pipeline.batch").addFilter(Sparse(FAILURES_PER_S))
    # imaplib's debug log holds whole commands; a password must have no way into a log.
    logging.getLogger("imapclient").setLevel(logging.WARNING)


def _whole(text: str) -> str:
    """Text without halves of characters, which JSON cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _printable(text: str) -> str:
    """Text without control characters: a mail must not drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
