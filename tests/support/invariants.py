"""The invariants of the keyspace, checked from outside."""

import redis

from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

LANES = ("again", "live", "backfill")


def assert_invariants(client: redis.Redis, prefix: str = "fmi", *, workers_live: bool = False) -> None:
    """Each identity is in exactly one of queued and done; queued is what the lanes, delayed and dead hold."""
    base = f"{{{prefix}:0}}"
    lanes = sum(client.xlen(f"{base}:{lane}") for lane in LANES)
    delayed, dead = client.zcard(f"{base}:delayed"), client.xlen(f"{base}:dead")
    assert client.scard(f"{base}:queued") == lanes + delayed + dead
    assert client.hlen(f"{base}:delayed:body") == delayed
    names = [name.decode() for name in client.smembers(f"{base}:queued")]
    states = Ledger(_url(client), "", Arguments(Keys(prefix), 90)).states(names)
    assert set(states) <= {"queued"}
    if not workers_live:
        for lane in LANES:
            if client.exists(f"{base}:{lane}"):
                assert client.xpending(f"{base}:{lane}", "workers")["pending"] == 0


def done_count(client: redis.Redis, prefix: str = "fmi") -> int:
    """How many mails the ledger knows as handled."""
    months = (
        key for key in client.scan_iter(match=f"{{{prefix}:0}}:done:??????") if client.type(key) == b"hash"
    )
    return sum(int(client.hget(month, "done") or 0) for month in months)


def _url(client: redis.Redis) -> str:
    place = client.connection_pool.connection_kwargs
    return f"unix://{place['path']}" if "path" in place else f"redis://{place['host']}:{place['port']}"


def dead_letters(client: redis.Redis, prefix: str = "fmi") -> list[dict[bytes, bytes]]:
    """The fields of all dead letters."""
    return [fields for _, fields in client.xrange(f"{{{prefix}:0}}:dead")]
