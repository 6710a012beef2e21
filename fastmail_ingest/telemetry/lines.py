"""How a record is written as one line: a JSON object, or text for a terminal.

Whatever is in it was perhaps written by a stranger: no value begins a second line or moves a cursor.
"""

import logging
from datetime import UTC, datetime

import orjson

from fastmail_ingest.model.scope import current, names_of

ABOUT = ("account", "mailbox", "correlation_id")
COLORS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
NO_COLOR = "\033[0m"
SHOWN_DIGITS = 8  # of a correlation id in text: enough to tell the mails of a screen apart
ROW = "  | "  # before each row of a traceback: what an exception says is never taken for a line of its own
_INTEGER_MAX = 1 << 63  # beyond it, orjson refuses

component = "supervisor"


def set_component(name: str) -> None:
    """Name the process in its log lines, e.g. `worker-3`."""
    global component  # noqa: PLW0603 - one process has one name, and every record needs it
    component = name


class JsonLines(logging.Formatter):
    """One JSON object a line (RFC 8259), all of it printable."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": component,
            **about(record),
            "pid": record.process,
            "logger": record.name,
            "message": message(record),
        }
        for name, kind in (("mail", dict), ("held_back", int)):
            if isinstance(value := getattr(record, name, None), kind):
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _escaped(orjson.dumps(_whole(line)).decode())


class TextLines(logging.Formatter):
    """Time, component, message, the beginning of the correlation id; warnings coloured on a terminal."""

    def __init__(self, color: bool) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        text = _printable(message(record))
        if correlation_id := about(record).get("correlation_id"):
            text += f" [{_printable(correlation_id)[:SHOWN_DIGITS]}]"
        if record.exc_info:
            text += "".join(
                f"\n{ROW}{_printable(row)}" for row in self.formatException(record.exc_info).splitlines()
            )
        color = COLORS.get(record.levelname, "") if self._color else ""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{clock} {component:<12} {color}{level}{text}{NO_COLOR if color else ''}"


def about(record: logging.LogRecord) -> dict[str, str]:
    """What a record is about: what it says itself, else what its thread or task is busy with."""
    scope = names_of(current())._asdict()
    found = {name: getattr(record, name, None) or scope[name] for name in ABOUT}
    return {name: str(value) for name, value in found.items() if value}


def message(record: logging.LogRecord) -> str:
    """The message; also of a call whose arguments do not fit, which must not cost the line."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _whole(value: object) -> object:
    """The same without what JSON cannot hold: halves of characters, and integers that are too large."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {str(_whole(key)): _whole(each) for key, each in value.items()}
        case list() | tuple():
            return [_whole(each) for each in value]
        case int() if abs(value) >= _INTEGER_MAX:
            return str(value)
        case None | bool() | int() | float():
            return value
        case _:
            return _whole(str(value))


def _escaped(line: str) -> str:
    """JSON in which all that is not printable is escaped: line ends of Unicode, controls of terminals (C1),
    marks that turn the direction of a text. They are found nowhere but in strings.
    """
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else _escape(char) for char in line)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _printable(text: str) -> str:
    """Text without control characters: a mail must not drive the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
