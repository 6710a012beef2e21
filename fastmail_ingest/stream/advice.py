"""What is wrong with the settings of somebody else's Redis: said once at the start, with the remedy."""

from typing import Any

import redis.exceptions

from fastmail_ingest.stream.connect import connect


def advice(url: str, password: str) -> list[str]:
    """A sentence for each setting with which Redis may lose mails; raises when Redis is away.

    INFO is asked, not CONFIG: hosted servers often refuse the latter.
    """
    client = connect(url, password)
    try:
        memory: dict[str, Any] = client.info("memory")
        persistence: dict[str, Any] = client.info("persistence")
        role = str(client.info("replication").get("role", "master"))
    except redis.exceptions.ResponseError as error:
        return [f"Redis does not say how it is set up ({error}): see to noeviction and an append-only file"]
    finally:
        client.close()
    return [*_eviction(memory), *_persistence(persistence), *_role(role)]


def _eviction(memory: dict[str, Any]) -> list[str]:
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return []
    return [
        f"Redis may drop mails when its memory is full: maxmemory-policy is {policy}. "
        "remedy: maxmemory-policy noeviction (fetching pauses before the memory is full)"
    ]


def _persistence(persistence: dict[str, Any]) -> list[str]:
    if int(persistence.get("aof_enabled", 1)):
        return []
    return [
        "Redis keeps no append-only file: a restart loses what it was given since its last snapshot. "
        "remedy: appendonly yes (appendfsync everysec loses at most a second, which is fetched again)"
    ]


def _role(role: str) -> list[str]:
    if role == "master":
        return []
    return [
        f"this Redis is a {role} and takes no writes: nothing is fetched or handled until it is a master. "
        "remedy: name the master in [redis] url"
    ]
