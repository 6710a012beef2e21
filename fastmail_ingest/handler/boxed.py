"""The handlers in the box, each made from its section of the configuration."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastmail_ingest.config import Config
from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.handler import builtin

Make = Callable[[Config], Callable[..., object]]
"""Makes a handler; imports what it needs only now, and raises HandlerLoadError if that is not installed."""


def _jsonl(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.jsonl import Jsonl  # noqa: PLC0415 - loaded by those who use it

    return Jsonl(config.jsonl, config.ledger.keep_days)


def _maildir(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.maildir import Maildir  # noqa: PLC0415

    return Maildir(config.maildir)


def _sqlite(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.sqlite import Sqlite  # noqa: PLC0415

    return Sqlite(config.sqlite)


def _postgres(config: Config) -> Callable[..., object]:
    try:
        from fastmail_ingest.handler.postgres import Postgres  # noqa: PLC0415
    except ImportError as error:
        raise HandlerLoadError(
            f"[handler] target 'postgres' needs psycopg, which cannot be imported: {error}. "
            "remedy: pip install 'fastmail-ingest[postgres]'"
        ) from error
    return Postgres(config.postgres)


def _classify(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.classify import Classify, ClassifyToStream  # noqa: PLC0415
    from fastmail_ingest.handler.redis_stream import RedisStream  # noqa: PLC0415

    classify = Classify(config.classify, config.classify_rules)
    stream = config.classify.stream
    return ClassifyToStream(classify, RedisStream(config, stream)) if stream else classify


def _webhook(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.webhook import Webhook  # noqa: PLC0415

    return Webhook(config)


def _redis_stream(config: Config) -> Callable[..., object]:
    from fastmail_ingest.handler.redis_stream import RedisStream  # noqa: PLC0415

    return RedisStream(config)


BOX: Mapping[str, Make] = MappingProxyType(
    {
        "noop": lambda _: builtin.noop,
        "log": lambda _: builtin.log,
        "jsonl": _jsonl,
        "maildir": _maildir,
        "sqlite": _sqlite,
        "postgres": _postgres,
        "classify": _classify,
        "webhook": _webhook,
        "redis-stream": _redis_stream,
    }
)

NEVER_WAIT = frozenset({"noop", "log", "classify"})
"""Those of them that wait for nothing outside: an event loop may call them itself."""
