"""The lanes of the stream, in the order in which a worker reads them."""

from enum import IntEnum


class Lane(IntEnum):
    """Where an entry waits: put back or retried first, then new mail, then imports."""

    AGAIN = 0
    LIVE = 1
    BACKFILL = 2

    @property
    def label(self) -> str:
        """The lane's name in keys and logs."""
        return _LABELS[self]


_LABELS = {Lane.AGAIN: "again", Lane.LIVE: "live", Lane.BACKFILL: "backfill"}
