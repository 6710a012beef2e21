"""How things are printed. A mail is untrusted, and so is all that came with it: no control character and no
markup of a stranger's may reach the terminal.
"""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from fastmail_ingest.app.operate.progress import PERCENT, Bar, busy, progress, share
from fastmail_ingest.model.printable import clean, clean_lines

__all__ = [
    "PERCENT",
    "Bar",
    "busy",
    "clean",
    "clean_lines",
    "console",
    "duration",
    "moment",
    "progress",
    "say",
    "say_json",
    "say_json_list",
    "share",
    "spark",
    "table",
    "to_json",
]

_WIDTH_OF_A_FILE = 200  # columns, where the output is no terminal
_WIDTHS = {"id": 15, "mail": 24}
_SPARKS = " ▁▂▃▄▅▆▇█"
_DAY_S = 86_400
_UNITS = ((_DAY_S, "d"), (3600, "h"), (60, "min"))


def console() -> Console:
    """Where tables go."""
    plain = Console(emoji=False, markup=False, highlight=False)
    if not plain.is_terminal:
        plain.width = _WIDTH_OF_A_FILE
    return plain


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = (), cut: str = ""
) -> Table:
    """A table; the columns in `numbers` are aligned to the right. What is to be copied is not torn apart.

    What has no room in the column `cut` is left out.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in numbers else "left"
        made.add_column(column, justify=justify, overflow="fold", min_width=_WIDTHS.get(column))
    for row in rows:
        made.add_row(*(_cell(value, is_cut=name == cut) for name, value in zip(columns, row, strict=True)))
    return made


def _cell(value: object, *, is_cut: bool) -> Text:
    text = clean(str(value))
    return Text(text, no_wrap=True, overflow="ellipsis") if is_cut else Text(text)


def say(text: str, style: str = "") -> None:
    """Print one line for a human."""
    console().print(Text(clean(text), style=style), soft_wrap=True)


def to_json(value: object) -> str:
    """JSON in ASCII without any control character."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def say_json(value: object) -> None:
    """Print one JSON value."""
    sys.stdout.write(f"{to_json(value)}\n")


def say_json_list(head: dict[str, object], name: str, values: Iterable[object]) -> None:
    """Print an object with `head` and a long list, as the list comes: it is never held as a whole."""
    sys.stdout.write(f"{to_json(head)[:-1]}{', ' if head else ''}{to_json(name)}: [")
    for number, value in enumerate(values):
        sys.stdout.write(f"{',' if number else ''}\n  {to_json(value)}")
    sys.stdout.write("\n]}\n")


def moment(seconds: float) -> str:
    """A time in UTC, as in 2026-03-01 12:00:00; empty for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


def duration(seconds: float) -> str:
    """A span of time in its largest unit, as in 90 s, 12 min, 3.5 h, 2.0 d."""
    for size, unit in _UNITS:
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def spark(values: Iterable[float]) -> str:
    """A small picture of values from 0 on, one character each."""
    shown = list(values)
    highest = max([*shown, 1.0])
    return "".join(_SPARKS[math.ceil(value / highest * (len(_SPARKS) - 1))] for value in shown)
