"""How far long work is: a bar on a terminal, elsewhere a line every now and then. Always on stderr, so that
standard output holds the answer alone.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastmail_ingest.model.printable import clean

PERCENT = 100
LINE_EVERY_S = 10.0
_FRAMES_PER_S = 4

# Hears of each step how many things were done in it.
Bar: TypeAlias = Callable[[int], None]


class Lines:
    """For logs and pipes: work that is done soon says nothing, long work says now and then how far it is."""

    def __init__(self) -> None:
        self._last_at = time.monotonic()

    def say(self, line: Callable[[], str]) -> None:
        """Say it if it is time."""
        if time.monotonic() - self._last_at >= LINE_EVERY_S:
            self._last_at = time.monotonic()
            print(clean(line()), file=sys.stderr, flush=True)  # noqa: T201 - what a human reads


def terminal() -> Console | None:
    """Where bars are drawn, None where nobody would see them move.

    Not asked is FORCE_COLOR: it wants colours in a file, and a bar makes a thousand lines of it there.
    """
    shown = Console(stderr=True)
    return shown if sys.stderr.isatty() and not shown.is_dumb_terminal else None


@contextmanager
def progress(what: str, total: int) -> Iterator[Bar]:
    """Show how many of `total` are done."""
    shown = terminal()
    if shown is None:
        yield _counted(what, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=shown, transient=True, refresh_per_second=_FRAMES_PER_S) as bar:
        task = bar.add_task(clean(what), total=total)
        yield lambda count: bar.advance(task, count)


def _counted(what: str, total: int) -> Bar:
    lines, done = Lines(), 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        lines.say(lambda: f"{what}: {done} of {total} ({done * PERCENT // max(total, 1)} %)")

    return step


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that something goes on of which nobody knows how far it is."""
    shown = terminal()
    if shown is None:
        yield
        return
    with Progress(TextColumn("{task.description}", markup=False), BarColumn(), console=shown, transient=True,
                  refresh_per_second=_FRAMES_PER_S) as bar:  # fmt: skip
        bar.add_task(clean(what), total=None)
        yield


def share(bar: Bar) -> Callable[[float], None]:
    """For a bar with a total of PERCENT: hears which share of the whole is done."""
    shown = 0

    def show(done: float) -> None:
        nonlocal shown
        bar(max(0, int(done * PERCENT) - shown))
        shown = max(shown, int(done * PERCENT))

    return show
