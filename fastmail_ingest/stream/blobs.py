"""What Redis knows of the blobs of large mails: which are ours, and which are needed."""

import secrets
from collections.abc import Iterator
from typing import Any

from fastmail_ingest.model.blob import blob_name
from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.stream.keys import Keys

_ID_BYTES = 8
_SCAN_COUNT = 1000


class Blobs:
    """The books about blobs. May be shared by threads.

    All methods raise one of `unavailable` when Redis is away; each may be called again then.
    """

    unavailable = UNAVAILABLE

    def __init__(self, client: Any, keys: Keys) -> None:
        self._redis = client  # a redis.Redis; its types cannot tell that answers are bytes here
        self._keys = keys

    def space(self) -> str:
        """What the blobs of this very database have in common, written down in it.

        Another database, also one that was emptied, has another: so nobody removes blobs of others.
        """
        if (found := self._redis.get(self._keys.blobs)) is None:
            mine = f"{self._keys.prefix}-{secrets.token_hex(_ID_BYTES)}"
            self._redis.set(self._keys.blobs, mine, nx=True)
            found = self._redis.get(self._keys.blobs) or mine.encode()
        return str(found, "utf-8", "replace")

    def needed(self, space: str) -> Iterator[str]:
        """The blob that each queued mail would have, if it is large: none of these is an orphan."""
        for identity in self._redis.sscan_iter(self._keys.queued, count=_SCAN_COUNT):
            yield blob_name(space, identity)
