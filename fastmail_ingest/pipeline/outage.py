"""Redis is away: how long to wait before asking again, and the circuit breaker that tells it to the log."""

import random

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.policy.backoff import REDIS_RECONNECT, delay_s
from fastmail_ingest.policy.breaker import State

_FAILURES = 5
_RECOVERY_S = 0.5


class Outage:
    """One for all that ask Redis from one process; safe in threads."""

    def __init__(self) -> None:
        self._breaker = CircuitBreaker("redis", failures=_FAILURES, recovery_s=_RECOVERY_S, successes=1)
        self._failures = 0

    @property
    def away(self) -> bool:
        """Whether the last that was heard of Redis is that it did not answer."""
        return self._failures > 0

    @property
    def state(self) -> State:
        """The breaker's state."""
        return self._breaker.state

    def wait_s(self, error: BaseException) -> float:
        """Redis did not answer: seconds to wait before asking again."""
        self._failures += 1
        self._breaker.failure(error)
        return max(delay_s(REDIS_RECONNECT, self._failures, random.random()), self._breaker.retry_in_s())  # noqa: S311

    def asking(self) -> None:
        """It is about to be asked again."""
        self._breaker.allows()

    def over(self) -> None:
        """Redis answered."""
        if self._failures:
            self._failures = 0
            self._breaker.success()
