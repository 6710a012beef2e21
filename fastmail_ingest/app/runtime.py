"""What all roles of one supervisor have in common."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config
from fastmail_ingest.handler.chain import Handler, load
from fastmail_ingest.handler.modules import imported_anew, search_paths
from fastmail_ingest.pipeline.ports import Journal
from fastmail_ingest.pipeline.runner import CallPlan
from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.telemetry import tracing


@dataclass(frozen=True)
class Runtime:
    """One configuration at work. `watcher` may add a journal of its own to each worker's."""

    config: Config
    handler: Handler
    redis_url: str
    node: str
    once: bool = False
    watcher: Callable[[], Journal] | None = None

    @property
    def arguments(self) -> Arguments:
        """The keyspace and its retention."""
        return Arguments(Keys(self.config.redis.prefix), self.config.ledger.keep_days)

    @property
    def mailboxes(self) -> list[str]:
        """All mailboxes as account/mailbox; their places are their numbers in slots."""
        return [f"{each.name}/{mailbox}" for each in self.config.accounts for mailbox in each.mailboxes]

    @property
    def blobs(self) -> BlobDirectory:
        """Where the bytes of large mails are."""
        return BlobDirectory(Path(self.config.blobs.directory))

    @property
    def call_plan(self) -> CallPlan:
        """How the handler is called."""
        section = self.config.handler
        return CallPlan(
            function=self.handler.function,
            is_async=self.handler.is_async,
            is_batch=self.handler.is_batch,
            concurrency=section.concurrency,
            threads=section.threads,
            batch_size=section.batch_size,
            timeout_s=section.timeout,
        )

    @property
    def restart_policy(self) -> RestartPolicy:
        """When a dead child is started again."""
        section, breaker = self.config.supervisor, self.config.breaker
        return RestartPolicy(
            section.short_life, section.short_lives_max, section.short_lives_window,
            deadly_max=breaker.failures, recovery_s=breaker.recovery,
        )  # fmt: skip


def knowing_redis(config: Config, url: str) -> Config:
    """The configuration for a handler that may use our Redis: `[redis] url` is set, also if it is our own."""
    return msgspec.structs.replace(config, redis=msgspec.structs.replace(config.redis, url=url))


def reloaded(runtime: Runtime, config: Config, config_path: Path | None) -> Runtime:
    """The runtime with a new configuration, and the handler's modules imported anew."""
    from fastmail_ingest.telemetry.handler_metrics import made_anew  # noqa: PLC0415 - 80 ms, seldom needed

    tracing.check(enabled=config.tracing.enabled)
    paths = search_paths(config_path)
    with made_anew(), imported_anew(config.handler.targets, paths):
        handler = load(knowing_redis(config, runtime.redis_url), paths)
    return replace(runtime, config=config, handler=handler)
