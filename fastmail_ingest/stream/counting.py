"""How much is where in the stream."""

from typing import Any

from fastmail_ingest.model.census import Census
from fastmail_ingest.stream.keys import Keys


def take_census(client: Any, keys: Keys) -> Census:
    """Count the books and what they are about, all at one moment; raises what redis-py raises."""
    pipe = client.pipeline(transaction=True)
    pipe.scard(keys.queued)
    pipe.zcard(keys.delayed)
    pipe.hlen(keys.delayed_body)
    pipe.xlen(keys.dead)
    for stream in keys.lanes.values():
        pipe.xlen(stream)
    queued, delayed, bodies, dead, *lanes = pipe.execute()
    return Census(queued, sum(lanes), delayed, bodies, dead)
