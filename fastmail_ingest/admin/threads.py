"""Where what waits for Redis runs: a few threads, so that no question keeps the answers of others waiting."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastmail_ingest.admin.answers import Refused
from fastmail_ingest.errors import BlobUnavailable, ConfigError, UnavailableError

T = TypeVar("T")

THREADS = 4
WAITING_MAX = 32
DEADLINE_S = 15.0


class Threads:
    """Runs what blocks. Nobody waits for it longer than DEADLINE_S; what takes longer ends by itself."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._running = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises Refused, also for what it raises, and TimeoutError."""
        if self._running >= WAITING_MAX:
            raise Refused(503, "busy", "too many requests are under way", "try again in a moment")
        self._running += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(future), DEADLINE_S)
        except BlobUnavailable as error:
            raise _refusal(410, "mail_gone", error) from error
        except UnavailableError as error:
            raise _refusal(503, "redis_unreachable", error) from error
        except ConfigError as error:
            raise _refusal(404, "no_letter", error) from error

    def _ended(self, future: "asyncio.Future[T]") -> None:
        self._running -= 1
        # Nobody may be waiting for it any more.
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _refusal(status: int, name: str, error: Exception) -> Refused:
    message, _, remedy = str(error).partition(" remedy: ")
    return Refused(status, name, message, remedy or "see the log")
