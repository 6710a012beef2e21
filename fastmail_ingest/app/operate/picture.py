"""The progress of something that is measured in bytes, with words about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from fastmail_ingest.app.operate.progress import Lines, terminal
from fastmail_ingest.model.printable import clean

_MB = 1e6


class Picture:
    """Shows how far it is: on a bar, or without one in a line every now and then."""

    def __init__(self, bar: Progress | None, what: str, total: int) -> None:
        self._bar, self._what, self._total = bar, what, total
        self._lines = Lines()
        self._task = bar.add_task(what, total=total, text="", waits="") if bar is not None else None

    def show(self, done: int, text: str) -> None:
        """So many bytes are done, and `text` tells more."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, text=clean(text))
        else:
            size = f"{done / _MB:.1f} of {self._total / _MB:.1f} MB"
            self._lines.say(lambda: f"{self._what}: {size}, {text}")

    def wait(self, reason: str) -> None:
        """Say why it waits; "" when it goes on."""
        waits = f"waits: {reason}" if reason else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, waits=clean(waits))
        elif waits:
            self._lines.say(lambda: f"{self._what}: {waits}")


@contextmanager
def picture(what: str, total: int) -> Iterator[Picture]:
    """A progress bar on a terminal; elsewhere lines."""
    shown = terminal()
    if shown is None:
        yield Picture(None, what, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("{task.fields[text]}", markup=False), TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=shown) as bar:
        yield Picture(bar, what, total)
