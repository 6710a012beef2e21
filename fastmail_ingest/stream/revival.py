"""What a stream needs that was put back to an older copy, before anybody works on it again.

Everybody who worked on it then is gone: leases end, and what workers held goes back to the lanes. What waits
may have been handled in the time that is lost, and tells the handler so. Books that do not agree are mended.
Cursors are as old as the rest, and are left: what came later is fetched again, what is known is recognised.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.model.blob import blob_name
from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.tally import Tally
from fastmail_ingest.stream.blobs import Blobs
from fastmail_ingest.stream.counting import take_census
from fastmail_ingest.stream.keys import glob_of
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.reach import CALL_BYTES, Tool
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.tallying import take_tally

_SCAN = 1000


class Revived(msgspec.Struct):
    """What was done, and what there is now."""

    leases: int = 0  # of supervisors, ended
    workers: int = 0  # whose work was given back
    put_back: int = 0  # mails that they held
    marked: int = 0  # mails that say from now on that a handler may have seen them
    forgotten: int = 0  # mails that were in the books and nowhere else: they are fetched again
    taken_in: int = 0  # mails that were in no book
    tally: Tally = Tally()


class Revival(Tool):
    """Works on a stream that nobody else uses. Methods raise StreamUnavailable."""

    scripts = ("doubt", "large")

    def __init__(self, url: str, password: str, arguments: Arguments) -> None:
        super().__init__(url, password, arguments)
        self._ledger = Ledger(url, password, arguments)

    def is_empty(self) -> bool:
        """Whether there is no key under the prefix."""
        with self._reached():
            return not any(self._redis.scan_iter(match=self._keys.everything, count=_SCAN))

    def prefixes(self) -> list[str]:
        """The prefixes of streams that are in this database, whosever."""
        with self._reached():
            found = {key.split(b":", 1)[0] for key in self._redis.scan_iter(match="{*:0}:*", count=_SCAN)}
        return sorted(word.decode("utf-8", "replace")[1:] for word in found)

    def run(self) -> Revived:
        """Make it fit to be worked on. Safe to repeat."""
        found = Revived()
        with self._reached():
            for key in list(self._redis.scan_iter(match=glob_of(self._keys.nodes), count=_SCAN)):
                found.leases += int(self._redis.unlink(key))
            self._ledger.make_groups()
            for consumer in self._ledger.consumers():
                found.put_back += self._ledger.put_back(consumer, Ending())[0]
                found.workers += 1
            if not take_census(self._redis, self._keys).agrees:
                found.forgotten, found.taken_in, _ = self._ledger.reconcile()
            for lane in Lane:
                found.marked += self._mark(lane)
            found.tally = take_tally(self._redis, self._keys)
        return found

    def rename_for_transplant(self) -> None:
        """Give all keys the names under which they are brought into another Redis."""
        keys = self._keys
        with self._reached():
            names = list(set(self._redis.scan_iter(match=keys.everything, count=_SCAN)))
            for at in range(0, len(names), _SCAN):
                pipe = self._redis.pipeline(transaction=False)
                for name in names[at : at + _SCAN]:
                    pipe.rename(name, keys.restoring.encode() + name[len(keys.base) + 1 :])
                pipe.execute()

    def _mark(self, lane: Lane) -> int:
        newest: Any = self._redis.xrevrange(self._keys.lanes[lane], count=1)
        if not newest:
            return 0
        marked, first = 0, "-"
        while first:
            call = self._arguments.doubt(lane, first, newest[0][0], CALL_BYTES)
            count, behind = self._run("doubt", call)
            marked, first = marked + count, behind.decode()
        return marked

    # --- large mails -------------------------------------------------------------------------------

    def large(self) -> list[str]:
        """The blobs of all large mails that wait or are dead."""
        keys = self._keys
        with self._reached():
            space = Blobs(self._redis, keys).space()
            streams = [*keys.lanes.values(), keys.dead]
            names = {name for key in streams for name in self._named(key, is_hash=False)}
            names |= set(self._named(keys.delayed_body, is_hash=True))
        return sorted(blob_name(space, name) for name in names)

    def _named(self, key: str, *, is_hash: bool) -> Iterator[bytes]:
        first = "0" if is_hash else "-"
        while first:
            call = self._arguments.large(key, is_hash=is_hash, first=first, size=CALL_BYTES)
            behind, *names = self._run("large", call)
            yield from names
            first = behind.decode()

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._ledger.close()


def missing(names: list[str], blobs: BlobDirectory) -> list[str]:
    """Those of the blobs that are not there."""
    return [name for name in names if not blobs.has(name)]
