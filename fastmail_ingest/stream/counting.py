"""How much is where in the stream, and how full its Redis is."""

from typing import Any

from fastmail_ingest.model.census import Census
from fastmail_ingest.model.pressure import RedisMemory
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


def memory_of(client: Any) -> RedisMemory:
    """What Redis uses, and what it may use: its maxmemory, else what its machine has."""
    info: dict[str, Any] = client.info("memory")
    limit = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    return RedisMemory(int(info["used_memory"]), limit)
