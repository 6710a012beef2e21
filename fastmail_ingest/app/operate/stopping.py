"""Ctrl-C for long commands: the first stops between two steps, the next at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from fastmail_ingest.pipeline.stopper import Stopper


@contextmanager
def stopping() -> Iterator[Stopper]:
    """A stopper that SIGINT and SIGTERM set; then, and at the end, both are what they were."""
    stopper = Stopper()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        stopper.stop()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopper
    finally:
        restore()
