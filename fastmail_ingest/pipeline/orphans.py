"""Blobs that no mail refers to, left by who died between writing and appending, or settling and removing.

A blob is removed when its mail was not queued at any look for an hour, while Redis was there all the time,
and nobody has written or renewed it for an hour. A producer that holds one while it cannot reach Redis renews
it before each attempt to append, and fetches the mail once more if it is gone nevertheless.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Protocol

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 600.0
ORPHANED_S = 3600.0
# Nobody who still writes is silent for so long: producer.timeout is an hour at the most.
ABANDONED_S = 2 * 3600.0


class Stored(Protocol):
    """A blob that is there, and how long ago it was written or renewed."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def age_s(self) -> float: ...  # noqa: D102


class Store(Protocol):
    """Where blobs are kept. What is wrong with it raises OSError."""

    def stored(self, space: str) -> Iterable[Stored]: ...  # noqa: D102
    def remove(self, name: str) -> None: ...  # noqa: D102
    def sweep_drafts(self, older_than_s: float) -> int: ...  # noqa: D102


class Books(Protocol):
    """What Redis knows of blobs."""

    def space(self) -> str: ...  # noqa: D102
    def needed(self, space: str) -> Iterator[str]: ...  # noqa: D102


class Orphans:
    """Looks for them from time to time."""

    def __init__(self, books: Books, store: Store) -> None:
        self._books = books
        self._store = store
        self._look_at = 0.0
        self._since: dict[str, float] = {}  # when we saw for the first time that nobody needs it

    def forget(self) -> None:
        """Redis was away: what it says now may be less than what it said before."""
        self._since.clear()

    def look(self, now: float) -> None:
        """Look if it is time; `now` is monotonic. Raises what the books raise when Redis is away."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        try:
            if removed := self._store.sweep_drafts(ABANDONED_S) + self._sweep(now):
                _log.info("%d files of large mails that nobody needs any more are removed", removed)
        except OSError as error:
            _log.warning("looking for unneeded files of large mails: %s", error)

    def _sweep(self, now: float) -> int:
        space = self._books.space()
        old = {blob.name for blob in self._store.stored(space) if blob.age_s >= ORPHANED_S}
        if old:  # else there is no need to look through all that is queued
            old.difference_update(self._books.needed(space))
        self._since = {name: self._since.get(name, now) for name in old}
        due = {name for name, since in self._since.items() if now - since >= ORPHANED_S}
        return self._remove(space, due) if due else 0

    def _remove(self, space: str, due: set[str]) -> int:
        """Remove these unless somebody has written them anew while we looked through what is queued."""
        removed = 0
        for blob in self._store.stored(space):
            if blob.name in due and blob.age_s >= ORPHANED_S:
                self._store.remove(blob.name)
                del self._since[blob.name]
                removed += 1
        return removed
