"""The progress of something that is measured in bytes, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class Picture:
    """Shows how far it is; may be told by several threads."""

    def __init__(self, bar: Progress, what: str, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total, text="", waits="")

    def show(self, done: int, text: str) -> None:
        """So many bytes are done, and `text` tells more."""
        self._bar.update(self._task, completed=done, text=text)

    def wait(self, reason: str) -> None:
        """Say why it waits; "" when it goes on."""
        self._bar.update(self._task, waits=f"waits: {reason}" if reason else "")


@contextmanager
def picture(what: str, total: int) -> Iterator[Picture]:
    """A progress bar on a terminal; elsewhere nothing."""
    shown = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("{task.fields[text]}", markup=False), TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as bar:
        yield Picture(bar, what, total)
