"""What a benchmark does with a Redis that it was given: leave nothing of its own behind."""

from fastmail_ingest.stream.connect import connect
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.server import OwnServer

_SCAN_COUNT = 1000


def erase(url: str, prefix: str) -> None:
    """Remove the keys under `prefix`, and nothing else."""
    client = connect(url)
    for key in client.scan_iter(match=Keys(prefix).everything, count=_SCAN_COUNT):
        client.unlink(key)
    client.close()


def server_version(server: OwnServer | None, url: str) -> str:
    """Name and version of the Redis that was measured, e.g. `valkey 9.1.0`."""
    if server is not None:
        return server.version()
    client = connect(url)
    info: dict[str, object] = client.info("server")
    client.close()
    if "valkey_version" in info:
        return f"valkey {info['valkey_version']}"
    return f"redis {info.get('redis_version', '?')}"
