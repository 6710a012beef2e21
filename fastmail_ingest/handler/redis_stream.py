"""The handler `redis-stream`: mails go on as entries of another Redis stream."""

import hashlib
from importlib import resources
from typing import Any

import msgspec
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.connection
import redis.exceptions

from fastmail_ingest.config import Config, mask_url
from fastmail_ingest.config.section import DAY_S
from fastmail_ingest.errors import HandlerLoadError, SinkUnavailable
from fastmail_ingest.handler.document import document_of
from fastmail_ingest.model.email import Email

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
_ADDED, _FULL = 1, -1
_MARK_BYTES = 16  # of SHA-256: no two mails share a mark, whatever their names


class RedisStream:
    """Adds each mail to `[redis_stream] stream`: fields `id`, `format` and `document`.

    Guarantee: once, as long as that Redis keeps its data and within `remember_days`: a mark beside the
    stream, written in the same script, says that a mail was added. Nothing is ever trimmed: a stream with
    `max_length` entries takes no more, and mails wait (the breaker opens) until its consumers remove some.
    """

    def __init__(self, config: Config, stream: str = "") -> None:
        """`stream` is another one than the configured, e.g. for results of `classify`.

        Raises HandlerLoadError for an address that cannot be read.
        """
        section = config.redis_stream
        _check_url(section.url)
        self._section = section
        self._stream = stream or section.stream
        self._url = section.url or config.redis.url
        self._password = "" if section.url else config.redis.password
        self._connections = config.handler.concurrency
        self._encode = msgspec.json.encode if section.format == "json" else msgspec.msgpack.encode
        self._client: Any = None
        self._add: Any = None

    async def startup(self) -> None:
        """Connect; raises SinkUnavailable if Redis does not answer, HandlerLoadError without an address."""
        client = self._connected()
        try:
            await client.ping()
        except (redis.exceptions.RedisError, OSError) as error:
            await self.shutdown()
            raise self._unavailable(error) from None

    async def shutdown(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _connected(self) -> Any:
        """The client, which connects when it is used."""
        if self._client is not None:
            return self._client
        if not self._url:
            # Under `supervise` it is that of our own server, which does not run now.
            raise HandlerLoadError(
                "[redis_stream] url is not set, and no Redis of [redis] url or of our own runs here. remedy: "
                'write url = "redis://..." below [redis_stream]'
            )
        secret = {"password": self._password} if self._password else {}
        # A BlockingConnectionPool, because there may be one call more for a moment when mails time out.
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url,
            **secret,
            max_connections=self._connections,
            timeout=ANSWER_TIMEOUT_S,
            protocol=2,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            # Trying again is the worker's: it knows how often, and tells.
            retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
        )
        self._client = redis.asyncio.Redis.from_pool(pool)
        self._add = self._client.register_script(_script())
        return self._client

    async def __call__(self, email: Email) -> None:
        """Add the mail; raises SinkUnavailable if Redis cannot take it now."""
        await self.add(email, document_of(email, self._section))

    async def add(self, email: Email, content: object) -> None:
        """Add `content` for a mail, once; raises SinkUnavailable if Redis cannot take it now."""
        keys = [self._stream, mark_key(self._stream, email.id)]
        fields = [
            "id", email.id, "format", self._section.format, "document", self._encode(content),
            "traceparent", email.traceparent,
        ]  # fmt: skip
        keep_s = int(self._section.remember_days * DAY_S)
        self._connected()
        try:
            answer = await self._add(keys, [self._section.max_length, keep_s, *fields])
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._unavailable(error) from None
        if answer == _FULL:
            raise SinkUnavailable(
                f"[redis_stream] {self._stream} is full with {self._section.max_length} entries. remedy: let "
                "its consumers XDEL what they have read, or raise max_length"
            )

    def _unavailable(self, error: Exception) -> SinkUnavailable:
        return SinkUnavailable(
            f"[redis_stream] Redis at {mask_url(self._url)}, stream {self._stream}: "
            f"{type(error).__name__}: {error}. remedy: start it, or correct url or stream"
        )


def _check_url(url: str) -> None:
    try:
        redis.connection.parse_url(url or "redis://")  # type: ignore[no-untyped-call]
    except ValueError:
        # Not in its own words: what stands where a port should be may be part of a password.
        raise HandlerLoadError(
            "[redis_stream] url (not shown) cannot be read: its port or a parameter is wrong, or there is an "
            'unencoded / or : in its password. remedy: write it as in "redis://user:password@host:6379/0"'
        ) from None


def mark_key(stream: str, identity: str) -> str:
    """Where it is remembered that a mail is in a stream; on a cluster in the same slot as the stream.

    What stands in braces decides on the slot (Redis Cluster specification, hash tags).
    """
    tagged = stream if "{" in stream else f"{{{stream}}}"
    return (
        f"{tagged}:once:{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[: 2 * _MARK_BYTES]}"
    )


def _script() -> str:
    return resources.files("fastmail_ingest.handler").joinpath("add_once.lua").read_text("utf-8")
