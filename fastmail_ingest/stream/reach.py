"""What the tools of an operator have in common: how they reach Redis, and what they say when they cannot."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis.exceptions

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.stream.connect import ANSWER_TIMEOUT_S, connect, redacted, saying_where
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.scripts import Arguments, Call, source
from fastmail_ingest.stream.server import OwnServer

DEFAULT_CONFIG = "supervisor.toml"
# Entries may be as large as a mail can be: a call ends after so many bytes, whatever their number.
CALL_BYTES = 8 * 1024 * 1024


class Tool:
    """A connection to Redis with some scripts; use it in a `with` block, or `close` it.

    All methods of tools raise StreamUnavailable when Redis is away or refuses.
    """

    scripts: Sequence[str] = ()
    blobs: BlobSource | None = None  # where the bytes of large mails are, if the configuration was told

    def __init__(
        self, url: str, password: str, arguments: Arguments, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._url = url
        self._redis = connect(url, password, answer_timeout_s)
        self._arguments = arguments
        self._keys = arguments.keys
        self._scripts = {name: self._redis.register_script(source(name)) for name in self.scripts}

    @classmethod
    def of(cls, config: str | Path | Config | None = DEFAULT_CONFIG) -> Self:
        """The tool for the stream of this configuration: a file's path, None for the environment alone.

        Raises ConfigError, and StreamUnavailable with the remedy if Redis does not answer. Our own server is
        used if it runs, but not started.
        """
        if not isinstance(config, Config):
            path = Path(config) if config is not None else None
            config = load(path, os.environ, require_accounts=False)
        url = config.redis.url or _own_server(Path(config.redis.data_dir))
        tool = cls(url, config.redis.password, Arguments(Keys(config.redis.prefix), config.ledger.keep_days))
        tool.blobs = BlobDirectory(Path(config.blobs.directory))
        with tool._reached():
            tool._redis.ping()
        return tool

    def now_ms(self) -> int:
        """The time of Redis, in ms since the epoch: due times and ids of dead letters are in it."""
        with self._reached():
            seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _run(self, name: str, call: Call) -> Any:
        with self._reached():
            return self._scripts[name](call.keys, call.args)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what redis-py raises into one sentence with a remedy."""
        try:
            with saying_where(self._url):
                yield
        except redis.exceptions.RedisError as error:
            raise StreamUnavailable(
                f"Redis at {redacted(self._url)} refuses: {error}. remedy: see that [redis] url and prefix "
                "are those of fastmail-ingest, and that its user may run scripts"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own_server(data_dir: Path) -> str:
    """Where our own server listens; its binary does not matter to somebody who does not start it."""
    server = OwnServer(Path(), data_dir)
    if not server.answers():
        raise StreamUnavailable(
            f"our own Redis server with its data in {data_dir} does not run. remedy: start it with "
            "`fastmail-ingest supervise`, or set [redis] url if the mails are in another Redis"
        )
    return server.url
