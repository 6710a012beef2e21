"""The circuit breaker around the handler: it hears of every outcome and says whether mail may be taken."""

from collections.abc import Iterable

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.policy.breaker import State
from fastmail_ingest.policy.faulty import speaks_of_a_dependency


class Guard:
    """Counts only failures that speak of something the handler depends on: `errors` are their class names."""

    def __init__(self, breaker: CircuitBreaker, errors: Iterable[str]) -> None:
        self._breaker = breaker
        self._errors = frozenset(errors)
        self._probing = False
        self._failed = ""  # the mail that failed last

    @property
    def closed(self) -> bool:
        """Whether mail may be taken as fast as it comes."""
        return self._breaker.state is State.CLOSED

    @property
    def takes(self) -> bool:
        """Whether what is in hand may be begun: the breaker is closed, or this is the probe."""
        return self._probing or self.closed

    @property
    def state(self) -> State:
        """The breaker's state."""
        return self._breaker.state

    def begin_probe(self) -> bool:
        """Whether one mail may be tried now, of a breaker that is not closed."""
        self._probing = self._breaker.allows()
        return self._probing

    def retry_in_s(self) -> float:
        """Seconds until a mail may be tried."""
        return self._breaker.retry_in_s()

    def end_probe(self) -> None:
        """What was let through may have come to no outcome: another may go."""
        self._probing = False
        self._breaker.withdraw()

    def succeeded(self) -> None:
        """A handler's call came to an end that is the mail's own: done, rejected, or its own fault."""
        self._breaker.success()

    def failed(self, error: BaseException, mail: str) -> bool:
        """Note a failed call; True if the mail is not to blame: the breaker is not closed (any more).

        That one mail fails again and again says nothing of what the others need.
        """
        if not self._errors or not speaks_of_a_dependency(error, self._errors):
            self._breaker.success()
            return False
        if mail == self._failed and self.closed:
            return False
        self._failed = mail
        self._breaker.failure(error)
        self._probing = False
        return not self.closed
