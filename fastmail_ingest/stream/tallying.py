"""Counts all that a stream has: what is to be done, and what is remembered."""

from collections.abc import Iterator
from typing import Any

import redis.exceptions

from fastmail_ingest.model.tally import Tally
from fastmail_ingest.stream.counting import take_census
from fastmail_ingest.stream.keys import GROUP, Keys, glob_of

_SCAN = 1000


def take_tally(client: Any, keys: Keys) -> Tally:
    """Count, while others may be at work; raises what redis-py raises."""
    census = take_census(client, keys)
    pending = sum(_pending(client, stream) for stream in keys.lanes.values())
    done = sum(int(client.hget(key, "done") or 0) for key in _months(client, keys))
    cursors = sum(1 for _ in client.scan_iter(match=glob_of(keys.cursors), count=_SCAN))
    return Tally(census.lanes, pending, census.delayed, census.dead, done, cursors)


def _pending(client: Any, stream: str) -> int:
    try:
        return int(client.xpending(stream, GROUP)["pending"])
    except redis.exceptions.ResponseError:
        return 0  # neither lane nor group: nothing was ever read from it


def _months(client: Any, keys: Keys) -> Iterator[str]:
    """The heads of all months that are remembered."""
    for key in client.scan_iter(match=glob_of(f"{keys.done}:"), count=_SCAN, _type="hash"):
        name = key.decode("utf-8", "replace")
        if (month := keys.month_of(name)) and name == keys.month(month):
            yield name
