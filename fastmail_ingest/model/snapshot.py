"""All that the HTTP server knows at one moment: the answer to /status, and each event of /api/events."""

from typing import Literal

from msgspec import Struct

from fastmail_ingest.model.standing import AccountStanding, StreamStanding


class InHand(Struct, frozen=True):
    """A mail that a worker's handler is busy with, by its lane and entry, for how long, s."""

    lane: str
    entry: str
    for_s: float


class ProcessStanding(Struct, frozen=True):
    """A process; `doing` says it in words, `in_hand` shows the oldest of `in_hand_count`.

    `since` is its start (epoch s), `rss_bytes` counts memory that processes share once for each, `cpu` is the
    share of one CPU of late; both are None for a process that cannot be looked at.
    """

    role: str
    pid: int
    state: Literal["starting", "ready", "dead", "running"]
    doing: str
    since: float
    rss_bytes: int | None
    cpu: float | None
    handled: int
    fetched: int
    batch_size: int
    in_hand_count: int
    in_hand: list[InHand]


class RoleStanding(Struct, frozen=True):
    """The children of a role: how many there shall be and are at work, starts, deaths and the last death."""

    role: str
    wanted: int
    ready: int
    started: int
    deaths: int
    died_s_ago: float | None
    last_words: str


class BreakerStanding(Struct, frozen=True):
    """A circuit breaker by what it guards; `processes` have it in this state, the worst there is."""

    dependency: str
    state: Literal["closed", "open", "half_open"]
    processes: int


class SilenceStanding(Struct, frozen=True):
    """A mail server owes one of our processes an answer for `for_s`, or does not serve it.

    `mailbox` (as account/mailbox) is where it lasts the longest; so it is with `connections` of that process.
    """

    mailbox: str
    for_s: float
    connections: int


class Totals(Struct, frozen=True):
    """What the children of this supervisor have counted since it began."""

    fetched: int
    handled: int
    retried: int
    dead: int
    put_back: int


class Rates(Struct, frozen=True):
    """The last ten seconds, None where nothing was settled.

    `latency_ms` is the mean from fetched to settled of all mails, the quantiles are those of new mails.
    """

    fetched_per_s: float
    handled_per_s: float
    retried_per_s: float
    dead_per_s: float
    latency_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class RedisStanding(Struct, frozen=True):
    """Whether Redis answers, why not, and how old what is said of the stream and the accounts is, s."""

    ok: bool
    error: str
    seen_s_ago: float


class ReasonStanding(Struct, frozen=True):
    """Why /ready fails: a name that stays the same, whom it is about, a sentence, a remedy, since when."""

    name: str
    about: str
    message: str
    remedy: str
    since: float  # epoch s


class Snapshot(Struct, frozen=True):
    """`time` and `since` (of the supervisor) are epoch s; `stream` is None before Redis has answered."""

    time: float
    since: float
    version: str
    node: str
    ready: bool
    reasons: list[ReasonStanding]
    redis: RedisStanding
    stream: StreamStanding | None
    accounts: list[AccountStanding]
    rates: Rates
    totals: Totals
    breakers: list[BreakerStanding]
    roles: list[RoleStanding]
    processes: list[ProcessStanding]
    silences: list[SilenceStanding]
