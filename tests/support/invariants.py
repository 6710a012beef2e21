"""The invariants of the keyspace, checked from outside."""

import redis

LANES = ("again", "live", "backfill")


def assert_invariants(client: redis.Redis, prefix: str = "fmi", *, workers_live: bool = False) -> None:
    """Each identity is in exactly one of queued and done; queued is what the lanes, delayed and dead hold."""
    base = f"{{{prefix}:0}}"
    lanes = sum(client.xlen(f"{base}:{lane}") for lane in LANES)
    delayed, dead = client.zcard(f"{base}:delayed"), client.xlen(f"{base}:dead")
    assert client.scard(f"{base}:queued") == lanes + delayed + dead
    assert client.hlen(f"{base}:delayed:body") == delayed
    queued = client.smembers(f"{base}:queued")
    for key in client.scan_iter(match=f"{base}:done:*"):
        assert not queued & client.smembers(key)
    if not workers_live:
        for lane in LANES:
            if client.exists(f"{base}:{lane}"):
                assert client.xpending(f"{base}:{lane}", "workers")["pending"] == 0


def done_count(client: redis.Redis, prefix: str = "fmi") -> int:
    """How many mails the ledger knows as handled."""
    return sum(client.scard(key) for key in client.scan_iter(match=f"{{{prefix}:0}}:done:*"))


def dead_letters(client: redis.Redis, prefix: str = "fmi") -> list[dict[bytes, bytes]]:
    """The fields of all dead letters."""
    return [fields for _, fields in client.xrange(f"{{{prefix}:0}}:dead")]
