"""CircuitBreaker: calls of something that may be down, for our own dependencies and for users' handlers."""

import inspect
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from msgspec import Struct

from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.policy import breaker as policy
from fastmail_ingest.policy.breaker import BreakerPolicy, Circuit, State
from fastmail_ingest.policy.faulty import unwrapped

_P = ParamSpec("_P")
_R = TypeVar("_R")
_ERROR_SHOWN_MAX = 200  # characters


class _Call(Struct):
    """A call that was let through and is not answered yet."""

    breaker: int  # its id
    epoch: int
    inner: bool  # made within another call of the same breaker, which answers for both
    left: bool = False


# The calls around the code that runs, innermost last. A context variable, for many threads and tasks enter
# one breaker at once, and each must leave by its own call.
_around: ContextVar[tuple[_Call, ...]] = ContextVar("around", default=())


class BreakerStatistics(Struct, frozen=True):
    """What a breaker has seen since it was made; `since` is when its state began, by its own clock in s."""

    state: State
    calls: int  # that were let through
    failures: int
    rejected: int
    opened: int
    last_error: str
    since: float


class CircuitBreaker:
    """Lets calls through until `failures` in a row failed, then none for `recovery_s` seconds, then a probe.

    Use it as a decorator on a function (sync or async) or as `with breaker:`; both raise `CircuitOpen`
    instead of calling. If a handler lets that escape, its mail waits and no failure is counted.
    An exception that is no instance of `errors` is an answer, so it counts as success; `Reject` does always,
    `Retry` never; what is no `Exception` (a cancelled task) counts as neither. One breaker serves all
    threads and tasks of a process; each process has its own.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 10,
        recovery_s: float = 10.0,
        successes: int = 2,
        errors: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or successes < 1 or not recovery_s >= 0:
            raise ValueError("a circuit breaker needs failures >= 1, successes >= 1 and recovery_s >= 0")
        self.name = name
        self._policy = BreakerPolicy(failures, recovery_s, successes)
        self._errors = errors
        self._clock = clock
        self._lock = threading.Lock()
        self._circuit = Circuit(since=clock())
        self._calls = self._failures = self._rejected = self._opened = 0
        self._last_error = ""

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state.name.lower()}>"

    @property
    def state(self) -> State:
        """CLOSED, OPEN or HALF_OPEN; an open one stays OPEN until somebody asks after `recovery_s`."""
        return self._circuit.state

    @property
    def statistics(self) -> BreakerStatistics:
        """What it has seen until now."""
        with self._lock:
            return BreakerStatistics(
                state=self._circuit.state,
                calls=self._calls,
                failures=self._failures,
                rejected=self._rejected,
                opened=self._opened,
                last_error=self._last_error,
                since=self._circuit.since,
            )

    def allows(self) -> bool:
        """Whether a call may be made now; it must be answered by `success`, `failure` or `withdraw`.

        In half-open True is given to one caller at a time: that call is the probe.
        """
        return self._ask() is not None

    def retry_in_s(self) -> float:
        """Seconds until it is worth asking again; 0 if a call would be let through now."""
        with self._lock:
            return policy.retry_in_s(self._policy, self._circuit, self._clock())

    def success(self) -> None:
        """Say that a call succeeded. Only `with` and the decorator tell calls apart that overlap."""
        self._succeed(self._circuit.epoch)

    def failure(self, error: BaseException | None = None) -> None:
        """Say that a call failed, and of what."""
        self._fail(self._circuit.epoch, error)

    def withdraw(self) -> None:
        """Say that a call which was allowed came to nothing: if it was the probe, another may go."""
        self._withdraw(self._circuit.epoch)

    def __enter__(self) -> "CircuitBreaker":
        # Within a call of the same breaker: refusing what the probe itself calls would make it fail for ever.
        outer = next((call for call in _around.get() if self._holds(call)), None)
        epoch = self._ask() if outer is None else outer.epoch
        if epoch is None:
            raise CircuitOpen(self.name, self.retry_in_s())
        _around.set((*_around.get(), _Call(id(self), epoch, outer is not None)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call = self._leave()
        cause = None if error is None else unwrapped(error)
        if call.inner:
            return
        if isinstance(cause, (Retry, self._errors)) and not isinstance(cause, Reject):
            self._fail(call.epoch, cause)
        elif cause is None or isinstance(cause, Exception):
            self._succeed(call.epoch)
        else:
            self._withdraw(call.epoch)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Guard each call of `function`, sync or async."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator has done nothing when it is called. remedy: `with breaker:` in it")
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

            @wraps(function)
            async def guarded_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self:
                    return await cast("Any", function)(*args, **kwargs)

            return cast("Callable[_P, _R]", guarded_async)

        @wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self:
                return function(*args, **kwargs)

        return guarded

    def _ask(self) -> int | None:
        """The epoch to answer in if a call is let through, else None."""
        with self._lock:
            before = self._circuit
            asked = policy.ask(self._policy, before, self._clock())
            after = self._circuit = asked.circuit
            self._calls += asked.allowed
            self._rejected += not asked.allowed
        if after.state is not before.state:
            self._log("info", 'circuit breaker "%s" is half-open: a probe goes through', self.name)
        return after.epoch if asked.allowed else None

    def _holds(self, call: _Call) -> bool:
        """Whether `call` is one of ours, still going on, and its answer is still waited for."""
        return call.breaker == id(self) and not call.left and call.epoch == self._circuit.epoch

    def _leave(self) -> _Call:
        """Take this breaker's innermost call out of the context."""
        around = _around.get()
        own = [index for index, call in enumerate(around) if call.breaker == id(self)]
        if not own:  # entered in another context, as a generator that somebody else closes
            return _Call(id(self), self._circuit.epoch, inner=False)
        call = around[own[-1]]
        call.left = True  # a task that was begun within and lives on is not within any more
        _around.set(around[: own[-1]] + around[own[-1] + 1 :])
        return call

    def _succeed(self, epoch: int) -> None:
        with self._lock:
            before = self._circuit
            after = self._circuit = policy.succeeded(self._policy, before, epoch, self._clock())
        if after.state is not before.state:
            self._log(
                "info", 'circuit breaker "%s" is closed: %d probes succeeded', self.name, before.successes + 1
            )

    def _fail(self, epoch: int, error: BaseException | None) -> None:
        words = _words(error)  # before the lock: a user's exception may do anything when asked for its text
        with self._lock:
            before = self._circuit
            after = self._circuit = policy.failed(self._policy, before, epoch, self._clock())
            opened = after.state is not before.state
            self._failures += 1
            self._opened += opened
            self._last_error = words or self._last_error
        if opened:
            probe = before.state is State.HALF_OPEN
            why = "its probe failed" if probe else f"{before.failures + 1} failures in a row"
            text = 'circuit breaker "%s" is open: %s%s; it tries again in %.1f s'
            last = f", the last: {words}" if words and not probe else f": {words}" if words else ""
            self._log("warning", text, self.name, why, last, self._policy.recovery_s)

    def _withdraw(self, epoch: int) -> None:
        with self._lock:
            self._circuit = policy.withdrawn(self._circuit, epoch)

    def _log(self, level: str, text: str, *words: object) -> None:
        # Imported where a state changes: who only imports Email and Retry need not wait for it.
        import logging  # noqa: PLC0415

        log = logging.getLogger(__name__)
        (log.warning if level == "warning" else log.info)(text, *words)


def _words(error: BaseException | None) -> str:
    """Class and message of an exception, on one line and not too long."""
    if error is None:
        return ""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except Exception:
        text = f"{type(error).__name__} (its message cannot be shown)"
    return text if len(text) <= _ERROR_SHOWN_MAX else f"{text[:_ERROR_SHOWN_MAX]}..."
