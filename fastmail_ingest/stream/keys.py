"""The keyspace. No key is spelled anywhere else.

Every key of a shard carries the hash tag `{prefix:0}`, so that scripts work on a Redis Cluster.

    :again :live :backfill   stream   the lanes; an entry has field m (payload) and, once it came back,
                                      f (failures), r (returns), k (worker deaths)
    :queued                  set      identities in a lane, waiting for a retry, or dead
    :done:<yyyymm>           set      identities handled in that month; expires after ledger.keep_days
    :seen:<yyyymm>           set      content hashes appended in that month; expires likewise
    :delayed                 zset     identities waiting for a retry, by due time in ms
    :delayed:body            hash     identity -> what is to be put into `again`
    :dead                    stream   dead letters
    :cursor:<account>:<box>  hash     how far a mailbox is taken over
    :node:<id>               string   the lease of one supervisor; expires without renewal
"""

from datetime import UTC, datetime

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey

GROUP = "workers"
SHARD = 0
_MONTHS_IN_YEAR = 12
_DAY_S = 86_400


class Keys:
    """The names of all keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.base = f"{{{prefix}:{SHARD}}}"
        self.lanes = {lane: f"{self.base}:{lane.label}" for lane in Lane}
        self.again = self.lanes[Lane.AGAIN]
        self.queued = f"{self.base}:queued"
        self.delayed = f"{self.base}:delayed"
        self.delayed_body = f"{self.base}:delayed:body"
        self.dead = f"{self.base}:dead"

    def cursor(self, key: MailboxKey) -> str:
        """The hash with a mailbox's cursor."""
        return f"{self.base}:cursor:{key.account}:{key.mailbox}"

    def node(self, node_id: str) -> str:
        """The lease of a supervisor."""
        return f"{self.base}:node:{node_id}"

    def done(self, month: str) -> str:
        """The identities handled in `month` (yyyymm)."""
        return f"{self.base}:done:{month}"

    def seen(self, month: str) -> str:
        """The content hashes appended in `month` (yyyymm)."""
        return f"{self.base}:seen:{month}"

    @property
    def everything(self) -> str:
        """A glob that matches all keys under this prefix."""
        escaped = self.base.replace("[", r"\[").replace("*", r"\*").replace("?", r"\?")
        return f"{escaped}:*"


def months_kept(now: float, keep_days: int) -> list[str]:
    """The months (yyyymm, UTC, newest first) in which something still remembered may have happened."""
    newest = datetime.fromtimestamp(now, UTC)
    oldest = datetime.fromtimestamp(now - keep_days * _DAY_S, UTC)
    count = (newest.year - oldest.year) * _MONTHS_IN_YEAR + newest.month - oldest.month + 1
    first = newest.year * _MONTHS_IN_YEAR + newest.month - 1
    numbers = range(first, first - count, -1)
    return [f"{number // _MONTHS_IN_YEAR:04d}{number % _MONTHS_IN_YEAR + 1:02d}" for number in numbers]


def month_ttl_s(keep_days: int) -> int:
    """Seconds after which a month's set may go: its last day is kept `keep_days`."""
    return (keep_days + 31) * _DAY_S
