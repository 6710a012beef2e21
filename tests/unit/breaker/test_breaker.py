"""CircuitBreaker as its users meet it: by hand, as decorator, as context manager, with threads and tasks."""

import asyncio
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastmail_ingest import CircuitBreaker, CircuitOpen, Reject, Retry, batch_handler
from fastmail_ingest.errors import UnavailableError
from fastmail_ingest.model.handler import is_batch_handler
from fastmail_ingest.policy.breaker import State


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crm(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("crm", failures=2, recovery_s=10.0, successes=2, clock=clock)


def trip(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        assert breaker.allows()
        breaker.failure(ConnectionError("refused"))
    assert breaker.state is State.OPEN


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def test_by_hand_through_all_states(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    assert not crm.allows()
    assert crm.retry_in_s() == 10.0
    clock.now += 10.0
    assert crm.retry_in_s() == 0.0
    assert crm.allows()
    assert crm.state is State.HALF_OPEN
    assert not crm.allows()
    crm.success()
    assert crm.allows()
    crm.success()
    assert crm.state is State.CLOSED
    assert crm.allows()


def test_a_failed_probe_opens_again(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    clock.now += 10.0
    assert crm.allows()
    crm.failure()
    assert (crm.state, crm.retry_in_s()) == (State.OPEN, 10.0)


def test_a_probe_that_came_to_nothing(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    clock.now += 10.0
    assert crm.allows()
    crm.withdraw()
    assert crm.allows()


def test_statistics(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    crm.allows()
    seen = crm.statistics
    assert (seen.calls, seen.failures, seen.rejected, seen.opened) == (2, 2, 1, 1)
    assert (seen.state, seen.last_error, seen.since) == (State.OPEN, "ConnectionError: refused", clock.now)
    with pytest.raises(AttributeError):
        seen.calls = 0  # type: ignore[misc]  # frozen: that it fails is the point


def test_as_a_decorator(crm: CircuitBreaker) -> None:
    @crm
    def ask(number: int, *, by: int = 1) -> float:
        """Divide."""
        return number / by

    assert (ask(6, by=2), ask.__name__, ask.__doc__) == (3.0, "ask", "Divide.")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            ask(1, by=0)
    with pytest.raises(CircuitOpen, match=r'"crm" is open; it tries again in 10\.0 s') as caught:
        ask(1)
    assert (caught.value.name, caught.value.retry_in_s) == ("crm", 10.0)
    assert isinstance(caught.value, UnavailableError)


def test_as_a_decorator_of_async_functions(crm: CircuitBreaker) -> None:
    @crm
    async def ask(number: int) -> float:
        await asyncio.sleep(0)
        return 6 / number

    async def use() -> None:
        assert await ask(2) == 3.0
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await ask(0)
        with pytest.raises(CircuitOpen):
            await ask(2)

    assert asyncio.iscoroutinefunction(ask)
    asyncio.run(use())


def test_as_a_decorator_of_an_async_object(crm: CircuitBreaker) -> None:
    class Client:
        async def __call__(self) -> None:
            raise ConnectionError

    ask = crm(Client())
    for _ in range(2):
        with pytest.raises(ConnectionError):
            asyncio.run(ask())  # type: ignore[arg-type]  # mypy takes the object's awaitable for any
    assert crm.state is State.OPEN


def test_the_mark_of_a_batch_handler_stays(crm: CircuitBreaker) -> None:
    @crm
    @batch_handler
    def handle(emails: list[object]) -> None:
        pass

    assert is_batch_handler(handle)


def test_a_generator_cannot_be_guarded(crm: CircuitBreaker) -> None:
    def rows() -> Generator[int, None, None]:
        yield 1

    with pytest.raises(TypeError, match="with breaker"):
        crm(rows)


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        (ConnectionError(), 1),
        (Retry("later"), 1),
        (Reject("spam"), 0),
        (KeyError(), 0),
        (ExceptionGroup("tasks", [ConnectionError()]), 1),
        (asyncio.CancelledError(), 0),
        (KeyboardInterrupt(), 0),
    ],
)
def test_which_exceptions_count(error: BaseException, failures: int) -> None:
    guarded = CircuitBreaker("crm", failures=1, errors=(ConnectionError, TimeoutError))
    with pytest.raises(type(error)):
        guarded(raising(error))()
    assert guarded.statistics.failures == failures
    assert (guarded.state is State.OPEN) == bool(failures)


def test_reject_and_retry_whatever_errors_says() -> None:
    guarded = CircuitBreaker("crm", failures=1, errors=(Reject,))
    with pytest.raises(Reject):
        guarded(raising(Reject()))()
    assert guarded.state is State.CLOSED
    with pytest.raises(Retry):
        guarded(raising(Retry()))()
    assert guarded.state is State.OPEN


def test_a_cancelled_probe_is_none(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    clock.now += 10.0
    with pytest.raises(asyncio.CancelledError), crm:
        raise asyncio.CancelledError
    assert crm.state is State.HALF_OPEN
    assert crm.allows()


def test_one_guarded_function_may_call_another(crm: CircuitBreaker, clock: Clock) -> None:
    inner = crm(lambda: 1)
    outer = crm(lambda: inner() + 1)
    trip(crm)
    clock.now += 10.0
    assert outer() == 2
    assert crm.state is State.HALF_OPEN  # one success and not two
    assert outer() == 2
    assert crm.state is State.CLOSED
    calls = crm.statistics.calls
    assert calls == 4


def test_within_an_open_circuit_an_inner_call_is_refused(crm: CircuitBreaker) -> None:
    with crm:
        trip(crm)
        with pytest.raises(CircuitOpen):
            crm(lambda: 1)()


def test_a_task_that_outlives_the_call_it_began_in_is_guarded(crm: CircuitBreaker, clock: Clock) -> None:
    async def use() -> None:
        go_on = asyncio.Event()

        async def later() -> int:
            await go_on.wait()
            return crm(lambda: 1)()

        trip(crm)
        clock.now += 10.0
        with crm:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        assert crm.allows()  # the next probe is out
        go_on.set()
        with pytest.raises(CircuitOpen):
            await task

    asyncio.run(use())


def test_late_answers_are_not_taken_for_the_probes(crm: CircuitBreaker, clock: Clock) -> None:
    """Slow calls from before the opening answer while a probe is out: they say nothing about now."""

    async def use() -> None:
        answers = [asyncio.get_running_loop().create_future() for _ in range(4)]

        @crm
        async def ask(answer: asyncio.Future[None]) -> None:
            await answer

        slow = [asyncio.create_task(ask(answer)) for answer in answers[:3]]
        await asyncio.sleep(0)
        trip(crm)
        clock.now += 10.0
        probe = asyncio.create_task(ask(answers[3]))
        await asyncio.sleep(0)
        answers[0].set_exception(ConnectionError())
        answers[1].set_result(None)
        answers[2].set_result(None)
        await asyncio.gather(*slow, return_exceptions=True)
        assert crm.state is State.HALF_OPEN
        assert not crm.allows()
        answers[3].set_result(None)
        await probe
        assert crm.allows()

    asyncio.run(use())


def test_left_in_another_context_than_entered(crm: CircuitBreaker) -> None:
    def rows() -> Generator[int, None, None]:
        with crm:
            yield 1

    opened = rows()
    elsewhere = threading.Thread(target=next, args=(opened,))
    elsewhere.start()
    elsewhere.join()
    with pytest.raises(ConnectionError):
        opened.throw(ConnectionError())
    assert crm.statistics.failures == 1


def test_one_probe_among_many_threads(crm: CircuitBreaker, clock: Clock) -> None:
    trip(crm)
    clock.now += 10.0
    together = threading.Barrier(8)

    def ask() -> bool:
        together.wait()
        return crm.allows()

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert answers.count(True) == 1
    assert crm.statistics.rejected == 7


def test_one_line_in_the_log_at_each_change(
    crm: CircuitBreaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trip(crm)
    clock.now += 10.0
    crm.allows()
    crm.failure(OSError("no route\nto host"))
    clock.now += 10.0
    for _ in range(2):
        crm.allows()
        crm.success()
    lines = [(record.levelname, record.getMessage().partition(" is ")[2]) for record in caplog.records]
    assert lines == [
        (
            "WARNING",
            "open: 2 failures in a row, the last: ConnectionError: refused; it tries again in 10.0 s",
        ),
        ("INFO", "half-open: a probe goes through"),
        ("WARNING", "open: its probe failed: OSError: no route to host; it tries again in 10.0 s"),
        ("INFO", "half-open: a probe goes through"),
        ("INFO", "closed: 2 probes succeeded"),
    ]
    assert all('"crm"' in record.getMessage() for record in caplog.records)


def test_an_exception_that_cannot_say_what_it_is(crm: CircuitBreaker) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    crm.failure(Mute())
    assert crm.statistics.last_error == "Mute (its message cannot be shown)"
    crm.failure(ValueError("x" * 10_000))
    assert len(crm.statistics.last_error) < 300


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"successes": 0}, {"recovery_s": -1.0}, {"recovery_s": float("nan")}]
)
def test_impossible_thresholds(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="failures >= 1"):
        CircuitBreaker("crm", **wrong)  # type: ignore[arg-type]  # a table of keywords


def test_circuit_open_survives_the_way_out_of_a_process() -> None:
    error = pickle.loads(pickle.dumps(CircuitOpen("crm", 2.5)))
    assert (error.name, error.retry_in_s, str(error)) == ("crm", 2.5, str(CircuitOpen("crm", 2.5)))


def test_importing_the_package_stays_cheap() -> None:
    program = "import sys; import fastmail_ingest; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"logging", "asyncio", "redis", "imapclient"} & set(loaded.stdout.split())
