"""Connections to Redis, made so that nothing waits or repeats behind our back.

redis-py 8 retries ten times by default and times a blocked read out after 5 s. We retry ourselves,
where the caller knows whether repeating is safe, and every wait has the deadline it needs.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.backoff
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

from fastmail_ingest.errors import StreamUnavailable

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
_LOADING_LOOK_S = 0.2
READ_SIZE_BYTES = 256 * 1024  # mails are large: fewer, larger reads

# "Not now" for which redis-py has no class of its own: too few replicas, a disk that fails, a long script, a
# blocked read that ends because the server became a replica.
_NOT_NOW = ("NOREPLICAS", "MISCONF", "BUSY ", "UNBLOCKED")


class RedisRefuses(redis.exceptions.ResponseError):
    """Redis is there, but cannot take a command for now."""


# What a caller may see as "Redis is away for now": refused, hung up, loading, failing over, out of memory,
# busy with a script, a key of the wrong kind, a right that was taken from us. Whatever it is, asking again
# later harms nothing, and a process that ends of it would only come again and end again.
UNAVAILABLE = (redis.exceptions.RedisError, OSError)


class _Client(redis.Redis):
    """redis-py, telling "not now" from "never"."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.exceptions.ResponseError as error:
            raise _told_apart(error) from error


class _AsyncClient(redis.asyncio.Redis):
    """The same for the event loop."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.exceptions.ResponseError as error:
            raise _told_apart(error) from error


def _told_apart(error: redis.exceptions.ResponseError) -> redis.exceptions.ResponseError:
    return RedisRefuses(str(error)) if str(error).startswith(_NOT_NOW) else error


def connect(url: str, password: str = "", answer_timeout_s: float = ANSWER_TIMEOUT_S) -> redis.Redis:
    """A client for threads, with deadlines on connect and answer and no silent retries."""
    return _Client.from_url(
        url,
        **_secret(password),
        protocol=2,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, answer_timeout_s),
        socket_timeout=answer_timeout_s,
        socket_read_size=READ_SIZE_BYTES,
        retry=Retry(redis.backoff.NoBackoff(), 0),
    )


def connect_async(url: str, password: str = "") -> Any:
    """A client over one connection for the event loop; the caller puts deadlines on its waits.

    Any, because redis-py leaves half of its asyncio commands without types.
    """
    client: Any = _AsyncClient.from_url(
        url,
        **_secret(password),
        protocol=2,
        single_connection_client=True,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=None,
        socket_read_size=READ_SIZE_BYTES,
        retry=AsyncRetry(redis.backoff.NoBackoff(), 0),
    )
    # The reply is taken as it comes from the C parser: building dicts of it costs more than handling.
    client.set_response_callback("XREADGROUP", _as_it_came)
    return client


def _secret(password: str) -> dict[str, Any]:
    """The password as an option; an empty one would hide a password that stands in the URL."""
    return {"password": password} if password else {}


def _as_it_came(reply: Any, **_: Any) -> Any:
    return reply


@contextmanager
def saying_where(url: str) -> Iterator[None]:
    """Turn a failure to reach Redis into one sentence that names the place, without its password."""
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise StreamUnavailable(
            f"Redis at {redacted(url)} refused the login: {error}. "
            "remedy: set [redis] password_file, or user and password in the url"
        ) from error
    except UNAVAILABLE as error:
        raise StreamUnavailable(
            f"Redis at {redacted(url)} does not answer: {error}. "
            "remedy: start it, correct [redis] url, or remove the url to run the embedded server"
        ) from error


def wait_while_loading(client: redis.Redis, waiting: Callable[[str], None] = lambda _: None) -> None:
    """Wait for a Redis that was just started to have read its file: it will answer, and soon.

    `waiting` is told so in each round.
    """
    told = False
    while True:
        try:
            client.ping()
            return
        except redis.exceptions.BusyLoadingError:
            if not told:
                _log.info("Redis is loading its data, waiting for it")
            told = True
            waiting("Redis is loading its data")
            time.sleep(_LOADING_LOOK_S)


def redacted(url: str) -> str:
    """The URL without user and password."""
    scheme, separator, rest = url.partition("://")
    return re.sub(r"((?:password|username)=)[^&]*", r"\1***", f"{scheme}{separator}{rest.rpartition('@')[2]}")
