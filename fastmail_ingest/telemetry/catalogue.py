"""All metrics there are: name, kind, labels, and what they say. docs/METRICS.md is made from this."""

from typing import Literal

from msgspec import Struct

PREFIX = "fastmail_ingest_"
OTHER = "other"  # the label of what is beyond a cap
ACCOUNTS_MAX = 100
MAILBOXES_MAX = 500
ERRORS_MAX = 50


class Definition(Struct, frozen=True):
    """A metric. `name` is without prefix, and without `_total`, which prometheus_client gives a counter."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram's buckets, s

    @property
    def full_name(self) -> str:
        """What prometheus_client calls the metric."""
        return f"{PREFIX}{self.name}"

    @property
    def shown_name(self) -> str:
        """What one asks Prometheus for."""
        return f"{self.full_name}_total" if self.kind == "counter" else self.full_name


# --- from the mail servers into the stream -------------------------------------------------------------

EMAILS_FETCHED = Definition("emails_fetched", "counter", "Mails that came from a mail server.", ("account",))
FETCHED_BYTES = Definition(
    "fetched_bytes", "counter", "Bytes of mail that came from a mail server.", ("account",)
)
EMAILS_PRODUCED = Definition("emails_produced", "counter", "Mails taken into the stream.", ("account",))
DUPLICATES = Definition(
    "duplicates", "counter",
    "Mails not taken into the stream: they were there, or had been handled, already.", ("account",),
)  # fmt: skip
IMAP_POLLS = Definition(
    "imap_polls", "counter", "Looks at a mailbox. result: ok, failed.", ("account", "result")
)
IMAP_POLL_DURATION = Definition(
    "imap_poll_duration_seconds", "histogram",
    "From looking at a mailbox until all that was new is in the stream.",
    bounds=(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300),
)  # fmt: skip

# --- in the workers --------------------------------------------------------------------------------------

EMAILS_PROCESSED = Definition("emails_processed", "counter", "Mails that are done: the handler returned.")
EMAILS_FAILED = Definition(
    "emails_failed", "counter",
    "Times that a mail was not handled. reason: the exception's class, or killed_worker, hung.", ("reason",),
)  # fmt: skip
RETRIES = Definition(
    "retries", "counter",
    "Times that a mail was put off. kind: failure, or postponed (what the handler needs is down).", ("kind",),
)  # fmt: skip
DLQ_MESSAGES = Definition(
    "dlq_messages", "counter",
    "Mails that became dead letters. reason: rejected, retries_exhausted, killed_worker, hung, undecodable, "
    "too_large.", ("reason",),
)  # fmt: skip
SETTLED_TOO_LATE = Definition(
    "settled_too_late", "counter",
    "Mails whose worker had lost them to another when it was done: they were handled again.",
)  # fmt: skip
ORPHANS_CLAIMED = Definition(
    "orphans_claimed", "counter", "Mails that were taken from workers that are gone, for others to handle."
)
PROCESSING_LATENCY = Definition(
    "processing_latency_seconds", "histogram",
    "What a mail takes in a worker: opening it and calling the handler. In a batch, the whole call.",
    bounds=(.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300),
)  # fmt: skip
END_TO_END_LATENCY = Definition(
    "end_to_end_latency_seconds", "histogram",
    "From fetched to done and written down. lane: live, again (retried, or put back), backfill (imported).",
    ("lane",), (.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)  # fmt: skip

# --- the stream ------------------------------------------------------------------------------------------

STREAM_DEPTH = Definition(
    "stream_depth", "gauge", "Mails in a lane of the stream, those in hand included.", ("lane",)
)
OLDEST_AGE = Definition(
    "stream_oldest_age_seconds",
    "gauge",
    "How long the oldest mail of a lane has been there; 0 if none is.",
    ("lane",),
)
STREAM_BYTES = Definition(
    "stream_bytes", "gauge", "Bytes of mail in the stream, without those kept in files."
)
RETRIES_WAITING = Definition("retries_waiting", "gauge", "Mails that wait for their next try.")
DLQ_DEPTH = Definition("dlq_depth", "gauge", "Dead letters.")
BLOBS_BYTES = Definition("blobs_bytes", "gauge", "Bytes of large mails that wait in files.")
BACKUP_TIMESTAMP = Definition(
    "backup_timestamp_seconds", "gauge",
    "When the newest good backup in `[backup] directory` was taken, epoch; 0 if none is good, absent if "
    "there is no such directory.",
)  # fmt: skip
REDIS_UP = Definition("redis_up", "gauge", "1 if Redis answered when it was asked last, else 0.")
REDIS_MEMORY_USED = Definition("redis_memory_used_bytes", "gauge", "What Redis uses.")
REDIS_MEMORY_LIMIT = Definition(
    "redis_memory_limit_bytes", "gauge", "What Redis may use: its maxmemory, else its machine's memory."
)
OBSERVED_AGE = Definition(
    "observed_age_seconds", "gauge",
    "How old what Redis said is. When it is too old, all that only Redis knows is left out.",
)  # fmt: skip

# --- accounts and mailboxes ------------------------------------------------------------------------------

MAILBOX_FRESHNESS = Definition(
    "mailbox_freshness_seconds", "gauge",
    "How long ago a mailbox was last proved to be read to its end; if it never was, when we started.",
    ("account", "mailbox"),
)  # fmt: skip
MAILBOX_UNANSWERED = Definition(
    "mailbox_unanswered_seconds", "gauge",
    "For how long a mail server owes an answer, or serves none of our tries: the worst mailbox of each "
    "producer, from 5 s on; else absent.", ("account", "mailbox"),
)  # fmt: skip
MAILBOX_REFUSED = Definition(
    "mailbox_refused", "gauge", "1 if its server does not open a mailbox, else 0.", ("account", "mailbox")
)
EMAILS_QUARANTINED = Definition(
    "emails_quarantined", "gauge", "Mails that their server does not give out.", ("account", "mailbox")
)
ACCOUNT_STANDING = Definition(
    "account_standing", "gauge",
    "1 for how an account stands, else 0. standing: ok, resting, suspended (a human must act).",
    ("account", "standing"),
)  # fmt: skip
ACCOUNT_FETCHED = Definition(
    "account_fetched_24h_bytes", "gauge", "Bytes that an account has fetched in 24 hours.", ("account",)
)
ACCOUNT_LIMIT = Definition(
    "account_daily_limit_bytes", "gauge",
    "Bytes that an account may fetch in 24 hours; absent without limit.", ("account",),
)  # fmt: skip
TOKEN_EXPIRY = Definition(
    "token_expiry_timestamp_seconds", "gauge",
    "When the access token of an account ends, epoch. It is renewed in time, if its provider lets us.",
    ("account",),
)  # fmt: skip
TOKEN_REVOKED = Definition(
    "token_revoked", "gauge",
    "1 if the grant of an account was revoked, never set up, or cannot be read, else 0.", ("account",),
)  # fmt: skip

# --- processes -------------------------------------------------------------------------------------------

CIRCUIT_BREAKER_STATE = Definition(
    "circuit_breaker_state", "gauge",
    "0 closed, 1 open, 2 half-open. dependency: handler, redis, or `account <name>`.", ("dependency",),
)  # fmt: skip
ACTIVE_WORKERS = Definition("active_workers", "gauge", "Workers that are at work.")
EMAILS_IN_HAND = Definition("emails_in_hand", "gauge", "Mails that a handler is busy with now.")
PROCESSES = Definition("processes", "gauge", "Processes of a role that are at work.", ("role",))
PROCESSES_WANTED = Definition(
    "processes_wanted", "gauge", "Processes of a role that there shall be.", ("role",)
)
PROCESS_STARTS = Definition("process_starts", "counter", "Processes of a role that were started.", ("role",))
PROCESS_DEATHS = Definition(
    "process_deaths",
    "counter",
    "Processes of a role that ended although nobody had asked them to.",
    ("role",),
)
PROCESS_CPU = Definition("process_cpu_seconds", "counter", "Processor time of a role's processes.", ("role",))
PROCESS_MEMORY = Definition(
    "process_resident_memory_bytes", "gauge",
    "Resident memory of a role's processes; what they share counts for each.", ("role",),
)  # fmt: skip
UPTIME = Definition("uptime_seconds", "gauge", "For how long the supervisor has been running.")
BUILD_INFO = Definition("build_info", "gauge", "Always 1; which version this is.", ("version", "python"))

CATALOGUE = tuple(value for value in list(globals().values()) if isinstance(value, Definition))
