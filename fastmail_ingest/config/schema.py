"""Every setting: one frozen struct a TOML section, with its limits, default and description.

Descriptions end up in supervisor.toml.example and limits in error messages: there is no second list.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from fastmail_ingest.config.account import Account
from fastmail_ingest.config.admin import AdminConfig
from fastmail_ingest.config.backup import BackupConfig
from fastmail_ingest.config.boxed_files import JsonlConfig, MaildirConfig, PostgresConfig, SqliteConfig
from fastmail_ingest.config.builtin import BUILT_IN
from fastmail_ingest.config.classify import ClassifyConfig, ClassifyRule
from fastmail_ingest.config.failure import BreakerConfig, RetryConfig, RetryFor
from fastmail_ingest.config.observation import LoggingConfig, TracingConfig
from fastmail_ingest.config.outgoing import RedisStreamConfig, WebhookConfig
from fastmail_ingest.config.section import DAY_S, MIB, ONE_LINE, TIB, Section, expects

# \Z and not $: the latter would let a trailing line break pass.
_PREFIX = r"^[A-Za-z0-9._-]{1,32}\Z"
_REDIS_URL = r"^\Z|^(redis|rediss|unix)://[^\x00-\x20\x7f]+\Z"
_TARGET = rf"^({'|'.join(BUILT_IN)}|[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*)\Z"
_EXPECTED = f'"module:function" or a built-in handler ({", ".join(BUILT_IN)})'


class RedisConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where mails are kept until your handler is done with them (Redis >= 7.0 or Valkey >= 8)."""

    url: Annotated[
        str,
        Meta(
            description="redis://, rediss:// (TLS) or unix:// address. Empty: start our own server "
            "(redis-server or valkey-server on PATH, else the `embedded` extra).",
            pattern=_REDIS_URL,
            extra=expects("a redis://, rediss:// or unix:// URL"),
            examples=["redis://localhost:6379/0"],
        ),
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File that holds the password of Redis, and nothing else (chmod 600).",
            examples=["redis.password"],
        ),
    ] = ""
    password: Annotated[
        str,
        Meta(
            description="Password of Redis; better in password_file or in the environment.",
            pattern=ONE_LINE,
            extra=expects("a string without control characters"),
            examples=["..."],
        ),
    ] = ""
    prefix: Annotated[
        str,
        Meta(
            description='All keys start with "{prefix:0}:". 1 to 32 of A-Z, a-z, 0-9, dot, _ and -.',
            pattern=_PREFIX,
            extra=expects("1 to 32 letters, digits, dots, underscores or hyphens"),
        ),
    ] = "fmi"
    data_dir: Annotated[
        str, Meta(description="Directory where our own server keeps its data.", min_length=1)
    ] = "fastmail-ingest-data"


class ProducerConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fetching: from the mail servers into the stream."""

    processes: Annotated[
        int, Meta(description="Processes that the mailboxes are dealt out to.", ge=1, le=64)
    ] = 1
    idle: Annotated[
        bool, Meta(description="Let the server wake us (IMAP IDLE); polling goes on in any case.")
    ] = True
    poll_min: Annotated[
        float, Meta(description="Shortest wait between two looks at a mailbox, s.", ge=0.05, le=DAY_S)
    ] = 1.0
    poll_max: Annotated[
        float, Meta(description="Longest wait between two looks at a quiet mailbox, s.", ge=0.05, le=DAY_S)
    ] = 60.0
    window: Annotated[
        int,
        Meta(description="Most UIDs a FETCH command; fewer where mails are large or slow.", ge=1, le=10000),
    ] = 2000
    append_max: Annotated[int, Meta(description="Most mails an append to the stream.", ge=1, le=1000)] = 128
    append_bytes: Annotated[
        int, Meta(description="Bytes after which an append is sent.", ge=1, le=512 * MIB)
    ] = MIB
    max_mail: Annotated[
        int,
        Meta(
            description="Bytes; mails above are not fetched whole but become dead letters.",
            ge=1,
            # Redis takes no string above 512 MiB; an entry holds a little more than the mail.
            le=500 * MIB,
        ),
    ] = 50 * MIB
    high_water: Annotated[
        int, Meta(description="Entries in the stream above which fetching pauses.", ge=1, le=1_000_000_000)
    ] = 20000
    high_water_bytes: Annotated[
        int, Meta(description="Bytes of mail in the stream above which fetching pauses.", ge=1, le=TIB)
    ] = 384 * MIB
    redis_memory: Annotated[
        float,
        Meta(
            description="Fetching pauses while Redis uses more than this share of its maxmemory, or of its "
            "machine's memory if it has no maxmemory.",
            ge=0.1,
            le=1,
        ),
    ] = 0.8
    timeout: Annotated[
        float, Meta(description="Deadline on each answer of a mail server, s.", ge=1, le=3600)
    ] = 60.0


class BlobsConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the bytes of large mails wait: Redis keeps only a reference to them."""

    directory: Annotated[
        str,
        Meta(
            description="Directory for mails above inline_limit; with several hosts one that all share.",
            min_length=1,
        ),
    ] = "fastmail-ingest-blobs"
    inline_limit: Annotated[
        int,
        Meta(description="Bytes; mails above go into a file instead of Redis.", ge=64 * 1024, le=512 * MIB),
    ] = MIB


class WorkerConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The processes that run your handler."""

    procs: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=1024)],
        Meta(description='"auto": one for each CPU that we may use (affinity, cgroup).'),
    ] = "auto"
    batch_max: Annotated[int, Meta(description="Most mails a read from the stream.", ge=1, le=1000)] = 512
    batch_bytes: Annotated[
        int, Meta(description="Bytes which one read may take (an aim, not a limit).", ge=1, le=1024 * MIB)
    ] = 8 * MIB
    target_ms: Annotated[
        int, Meta(description="What a worker holds is about so much work, ms.", ge=1, le=60000)
    ] = 100
    max_mails: Annotated[
        int,
        Meta(
            description="A worker is replaced after so many mails, give or take a tenth; 0 = never.",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 0
    max_rss: Annotated[
        int,
        Meta(description="A worker is replaced when its memory is above, bytes; 0 = never.", ge=0, le=TIB),
    ] = 0


class HandlerConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Your function, and how it is called."""

    target: Annotated[
        str,
        Meta(
            description=f"module:function, or built in: {', '.join(BUILT_IN)}.",
            pattern=_TARGET,
            extra=expects(_EXPECTED),
            examples=["shop.mails:handle"],
        ),
    ] = "log"
    handlers: Annotated[
        list[Annotated[str, Meta(pattern=_TARGET, extra=expects(_EXPECTED))]],
        Meta(
            description="Several handlers, called for each mail one after the other, in place of target. "
            "What one of them raises is the outcome of the mail, and those behind it are not called.",
            extra=expects(f"a list, each {_EXPECTED}"),
            examples=[["classify", "shop.mails:handle"]],
        ),
    ] = field(default_factory=list)
    timeout: Annotated[
        float,
        Meta(description="One mail may take so long, s; then its worker is killed.", gt=0, le=7 * DAY_S),
    ] = 300.0
    concurrency: Annotated[
        int, Meta(description="Async handlers that run at once in one worker.", ge=1, le=1000)
    ] = 16
    threads: Annotated[
        int,
        Meta(description="Sync handlers run in so many threads; 0 = in the worker's own.", ge=0, le=256),
    ] = 0
    batch_size: Annotated[
        int, Meta(description="Most mails in one call of a batch handler.", ge=1, le=1000)
    ] = 100

    @property
    def targets(self) -> list[str]:
        """The handlers, in the order in which they are called."""
        return self.handlers or [self.target]


class LedgerConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory of what was handled, so that nothing is handled twice."""

    keep_days: Annotated[
        int, Meta(description="How long a handled mail is remembered, days.", ge=1, le=3650)
    ] = 90


class SupervisorConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Starting, restarting and stopping the processes."""

    drain_timeout: Annotated[
        float, Meta(description="Time to finish what is in hand when stopping, s.", ge=0, le=DAY_S)
    ] = 30.0
    short_life: Annotated[
        float, Meta(description="A child that lives shorter died young, s.", ge=0, le=3600)
    ] = 5.0
    short_lives_max: Annotated[
        int,
        Meta(
            description="So many short lives of one role within short_lives_window end the supervisor.",
            ge=1,
            le=10000,
        ),
    ] = 10
    short_lives_window: Annotated[
        float, Meta(description="Window in which short lives are counted, s.", gt=0, le=DAY_S)
    ] = 60.0
    lease: Annotated[
        float,
        Meta(
            description="A host that does not renew its lease for so long counts as dead, and others "
            "take over its mails, s.",
            ge=2,
            le=3600,
        ),
    ] = 10.0
    stall_timeout: Annotated[
        float,
        Meta(
            description="While mails wait and nothing is settled for so long, the stuck processes are "
            "replaced, s.",
            ge=1,
            le=DAY_S,
        ),
    ] = 60.0


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections; validated once, then each part gets only its own."""

    redis: RedisConfig = RedisConfig()
    accounts: list[Account] = field(default_factory=list)
    producer: ProducerConfig = ProducerConfig()
    blobs: BlobsConfig = BlobsConfig()
    worker: WorkerConfig = WorkerConfig()
    handler: HandlerConfig = HandlerConfig()
    retry: RetryConfig = RetryConfig()
    retry_for: list[RetryFor] = field(default_factory=list)
    breaker: BreakerConfig = BreakerConfig()
    ledger: LedgerConfig = LedgerConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    admin: AdminConfig = AdminConfig()
    backup: BackupConfig = BackupConfig()
    logging: LoggingConfig = LoggingConfig()
    tracing: TracingConfig = TracingConfig()
    jsonl: JsonlConfig = JsonlConfig()
    maildir: MaildirConfig = MaildirConfig()
    sqlite: SqliteConfig = SqliteConfig()
    postgres: PostgresConfig = PostgresConfig()
    classify: ClassifyConfig = ClassifyConfig()
    classify_rules: list[ClassifyRule] = field(default_factory=list)
    webhook: WebhookConfig = WebhookConfig()
    redis_stream: RedisStreamConfig = RedisStreamConfig()
