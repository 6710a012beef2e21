"""What is to be measured, and the configuration for it."""

import socket
from pathlib import Path
from typing import Literal

import msgspec

from fastmail_ingest.config import (
    Account,
    AdminConfig,
    BlobsConfig,
    Config,
    HandlerConfig,
    LoggingConfig,
    ProducerConfig,
    RedisConfig,
    WorkerConfig,
)
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.simulator import Corpus, mixed

USER, PASSWORD = "bench", "bench"  # of a simulated mailbox on loopback
MAILBOX = "INBOX"
SIZE_MIN, SIZE_MAX = 300, 16 * 1024 * 1024
_HANDLERS = {"imap": "fastmail_ingest.app.bench.probe:handle", "stream": "noop"}


class BenchPlan(msgspec.Struct, frozen=True):
    """One measurement."""

    emails: int
    procs: int | Literal["auto"]
    size: str  # "mixed" or a number of bytes
    rate: float | None  # mails a second on a schedule; None: as fast as possible
    source: Literal["imap", "stream"]
    redis_url: str  # empty: a server of our own


def corpus(plan: BenchPlan) -> Corpus:
    """The mails; the same for the same plan on every machine."""
    if plan.size == "mixed":
        return mixed()
    if not plan.size.isdigit() or not SIZE_MIN <= int(plan.size) <= SIZE_MAX:
        raise ConfigError(f"--size: expected mixed or bytes from {SIZE_MIN} to {SIZE_MAX}, got {plan.size!r}")
    return Corpus(size=int(plan.size))


def config(plan: BenchPlan, directory: Path, port: int, prefix: str) -> Config:
    """All defaults, except for where mail and Redis are."""
    account = Account(
        name="bench",
        host="127.0.0.1",
        port=port,
        tls="off",
        user=USER,
        password=PASSWORD,
        mailboxes=[MAILBOX],
    )
    return Config(
        redis=RedisConfig(url=plan.redis_url, prefix=prefix, data_dir=str(directory / "redis")),
        blobs=BlobsConfig(directory=str(directory / "blobs")),
        accounts=[account],
        producer=ProducerConfig(),
        worker=WorkerConfig(procs=plan.procs),
        handler=HandlerConfig(target=_HANDLERS[plan.source]),
        logging=LoggingConfig(level="warning"),
        admin=AdminConfig(port=0),
    )


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
