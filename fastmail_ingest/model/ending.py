"""How a worker's life as a consumer of the stream ended."""

from collections.abc import Sequence

import msgspec

from fastmail_ingest.model.lane import Lane


class Ending(msgspec.Struct, frozen=True):
    """What is to be known of it to put its unfinished work back.

    `may_have_run` is false after an orderly stop: no handler has seen the entries. After `deaths_max`
    deaths an entry that is blamed becomes a dead letter for `reason`. With `lease_of` nothing happens
    while that node's lease lives.
    """

    blamed: Sequence[tuple[Lane, bytes]] = ()
    may_have_run: bool = True
    deaths_max: int = 1 << 30
    reason: str = "killed_worker"
    lease_of: str = ""
