"""The keyspace. No key is spelled anywhere else.

Every key of a shard carries the hash tag `{prefix:0}`, so that scripts work on a Redis Cluster.

    :again :live :backfill   stream   the lanes; an entry has field m (payload) and, once it came back,
                                      f (failures), r (returns), k (worker deaths), p (replays)
    :queued                  set      identities in a lane, waiting for a retry, or dead
    :bytes                   string   bytes of payload in the lanes and waiting for a retry
    :groups                  hash     lane number -> "", or when its group was made anew and behind what
    :done:<yyyymm>           hash     how much was handled in that month; expires, like the next two,
                                      after ledger.keep_days
    :done:<yyyymm>:at:<place>:<n>     set of small integers: UIDs handled in a folder, 512 a set
    :done:<yyyymm>:known:<n>          hash of digests: other identities handled, contents appended
    :forgotten               string   time in ms: what was handled before may be cleared from memory
    :delayed                 zset     identities waiting for a retry, by due time in ms
    :delayed:body            hash     identity -> what is to be put into `again`
    :dead                    stream   dead letters
    :cursor:<account>:<box>  hash     how far a mailbox is taken over
    :accounts                hash     account -> its standing: ok, resting, suspended (JSON)
    :spent:<account>         hash     hour number -> bytes fetched in it; commands:<day number> -> commands
    :fresh                   hash     account/mailbox -> when it was last proved to be read to its end, ms
    :refused                 hash     account/mailbox -> when and why its server did not open it (JSON);
                                      goes when it is proved fresh
    :quarantine:<account>    hash     mailbox -> mails that its server does not give out (JSON)
    :blobs                   string   what the names of this database's blobs begin with
    :node:<id>               string   the lease of one supervisor; expires without renewal
    :restoring:...                    all of these once more, while a backup is put back
"""

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey

GROUP = "workers"
SHARD = 0
_DAY_S = 86_400


class Keys:
    """The names of all keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.base = f"{{{prefix}:{SHARD}}}"
        self.lanes = {lane: f"{self.base}:{lane.label}" for lane in Lane}
        self.again = self.lanes[Lane.AGAIN]
        self.queued = f"{self.base}:queued"
        self.bytes = f"{self.base}:bytes"
        self.groups = f"{self.base}:groups"
        self.done = f"{self.base}:done"
        self.forgotten = f"{self.base}:forgotten"
        self.delayed = f"{self.base}:delayed"
        self.delayed_body = f"{self.base}:delayed:body"
        self.dead = f"{self.base}:dead"
        self.blobs = f"{self.base}:blobs"
        self.cursors = f"{self.base}:cursor:"
        self.nodes = f"{self.base}:node:"
        self.restoring = f"{self.base}:restoring:"
        self.accounts = f"{self.base}:accounts"
        self.fresh = f"{self.base}:fresh"
        self.refused = f"{self.base}:refused"

    def cursor(self, key: MailboxKey) -> str:
        """The hash with a mailbox's cursor."""
        return f"{self.cursors}{key.account}:{key.mailbox}"

    def spent(self, account: str) -> str:
        """The hash with what an account has cost its provider."""
        return f"{self.base}:spent:{account}"

    def quarantine(self, account: str) -> str:
        """The hash with the mails that the server of an account does not give out."""
        return f"{self.base}:quarantine:{account}"

    def node(self, node_id: str) -> str:
        """The lease of a supervisor."""
        return f"{self.nodes}{node_id}"

    def month(self, month: str) -> str:
        """The counts of a month (yyyymm); its memory has names that begin so."""
        return f"{self.done}:{month}"

    def month_of(self, key: str) -> str:
        """The month (yyyymm) whose memory this key is a part of; "" if it is no part of any."""
        month = key[len(self.done) + 1 :][:6]
        rest = key[len(self.done) + 1 + 6 :]
        if not key.startswith(f"{self.done}:") or not (len(month) == 6 and month.isdigit()):
            return ""
        return month if not rest or rest.startswith(":") else ""

    @property
    def everything(self) -> str:
        """A glob that matches all keys under this prefix."""
        return glob_of(f"{self.base}:")


def glob_of(beginning: str) -> str:
    """A glob (SCAN MATCH) for all keys that begin so."""
    for special in ("[", "*", "?"):
        beginning = beginning.replace(special, f"\\{special}")
    return f"{beginning}*"


def month_ttl_s(keep_days: int) -> int:
    """Seconds after which a month's memory may go: its last day is kept `keep_days`."""
    return (keep_days + 31) * _DAY_S
