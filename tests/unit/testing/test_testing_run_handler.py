"""`run_handler` calls as a worker calls, and says what the retry policy would do."""

import asyncio
import subprocess
import sys
import threading
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from fastmail_ingest import CircuitBreaker, Email, Reject, Retry, batch_handler
from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.testing import Outcome, run_handler

RAW = b"From: Ann <ann@example.org>\nSubject: Hello\n\ntext\n"
LONG_S = 60.0  # far beyond any deadline that is tried here


def raises(error: BaseException):
    def handle(email: Email) -> None:
        raise error

    return handle


def test_a_handler_that_returns_is_done() -> None:
    seen: list[Email] = []
    outcome = run_handler(seen.append, RAW)
    assert outcome.done
    assert [outcome.retry, outcome.rejected, outcome.failed] == [False, False, False]
    assert outcome.after_s is None
    assert outcome.email is seen[0]
    assert (seen[0].subject, seen[0].attempt, seen[0].account, seen[0].mailbox) == (
        "Hello",
        1,
        "test",
        "INBOX",
    )
    assert str(outcome).startswith("done in ")


def test_the_mail_may_be_bytes_a_file_or_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(RAW)
    message = EmailMessage()
    message["From"], message["Subject"] = "Ann <ann@example.org>", "Hällo"
    message.set_content("text\n")
    ids = {run_handler("noop", eml).email.id for eml in (RAW, tmp_path / "a.eml", str(tmp_path / "a.eml"))}
    assert len(ids) == 1
    made = run_handler("noop", message).email
    assert made.subject == "Hällo"
    assert b"\r\n" in made.raw
    assert made.raw.count(b"\n") == made.raw.count(b"\r\n")


def test_retry_says_when() -> None:
    outcome = run_handler(raises(Retry("busy", after=60)), RAW)
    assert outcome.retry
    assert (outcome.reason, outcome.after_s) == ("busy", 60.0)
    assert str(outcome) == "retry: busy; again in 60.0 s (failure 1 of 5)"


def test_reject_says_why() -> None:
    outcome = run_handler(raises(Reject("not for us")), RAW)
    assert outcome.rejected
    assert (outcome.reason, outcome.after_s) == ("not for us", None)
    assert str(outcome) == "rejected: not for us; a dead letter now (rejected)"


def test_an_exception_says_what_comes_next_and_where_it_was() -> None:
    outcome = run_handler(raises(ValueError("no good")), RAW, attempt=2)
    assert outcome.failed
    assert isinstance(outcome.exception, ValueError)
    assert outcome.after_s is not None
    assert "(failure 2 of 5)" in outcome.next
    said = str(outcome)
    assert said.startswith("failed: ValueError: no good; again in ")
    assert "raise error" in said
    assert "batch.py" not in said


def test_at_the_last_attempt_it_is_a_dead_letter_even_for_retry() -> None:
    for error in (ValueError("no good"), Retry(after=1)):
        outcome = run_handler(raises(error), RAW, attempt=5)
        assert outcome.failed
        assert outcome.next == "a dead letter now (retries_exhausted)"


def test_a_breaker_that_is_open_counts_no_failure() -> None:
    crm = CircuitBreaker("crm", failures=1, recovery_s=30)
    with pytest.raises(OSError, match="down"), crm:
        raise OSError("down")
    outcome = run_handler(crm(lambda email: None), RAW)
    assert outcome.retry
    assert "without counting a failure" in outcome.next


def test_the_rules_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "supervisor.toml"
    config.write_text('[retry]\nattempts = 2\n[[retry_for]]\nerror = "KeyError"\nreject = true\n')
    assert "failure 1 of 2" in run_handler(raises(ValueError()), RAW, config=config).next
    assert run_handler(raises(KeyError("x")), RAW, config=config).rejected


async def coroutine(email: Email) -> None:
    await asyncio.sleep(0)
    if email.subject != "Hello":
        raise Reject(email.subject)


class Desk:
    """Hooks of an object, all on one loop."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.loops: set[int] = set()

    async def startup(self) -> None:
        self._note("startup")

    async def shutdown(self) -> None:
        self._note("shutdown")

    async def __call__(self, email: Email) -> None:
        self._note(email.subject)

    def _note(self, what: str) -> None:
        self.calls.append(what)
        self.loops.add(id(asyncio.get_running_loop()))


def test_async_and_hooks() -> None:
    assert run_handler(coroutine, RAW).done
    assert run_handler(coroutine, b"Subject: x\n\n").rejected
    desk = Desk()
    assert run_handler(desk, RAW).done
    assert desk.calls == ["startup", "Hello", "shutdown"]
    assert len(desk.loops) == 1


def test_shutdown_comes_after_a_failure_too() -> None:
    class Failing(Desk):
        async def __call__(self, email: Email) -> None:
            raise ValueError

    desk = Failing()
    assert run_handler(desk, RAW).failed
    assert desk.calls == ["startup", "shutdown"]


def test_what_startup_raises_is_raised_and_no_mail_taken() -> None:
    class Unready(Desk):
        async def startup(self) -> None:
            raise ConnectionError("no database")

    desk = Unready()
    with pytest.raises(ConnectionError, match="no database"):
        run_handler(desk, RAW)
    assert desk.calls == []


def test_a_batch_handler_gets_a_list() -> None:
    @batch_handler
    def handle(emails: list[Email]) -> list[object]:
        return [Retry(after=5) if email.subject == "Hello" else None for email in emails]

    assert run_handler(handle, RAW).after_s == 5.0
    assert run_handler(handle, b"Subject: x\n\n").done

    @batch_handler
    async def wrong(emails: list[Email]) -> list[object]:
        return []

    assert "one outcome for each" in run_handler(wrong, RAW).reason


def test_a_sync_function_that_returns_a_coroutine_is_no_done() -> None:
    def handle(email: Email) -> object:
        return coroutine(email)

    assert "async def" in run_handler(handle, RAW).reason


def test_a_sync_handler_that_hangs_would_kill_its_worker() -> None:
    def handle(email: Email) -> None:
        try:
            time.sleep(LONG_S)
        except Exception:
            raise AssertionError("it must not be able to catch that") from None

    outcome = run_handler(handle, RAW, timeout=0.05)
    assert outcome.failed
    assert "hung" in outcome.reason
    assert "its worker is killed" in outcome.next
    assert "time.sleep(LONG_S)" in str(outcome)


def test_one_that_swallows_the_interruption_hung_nevertheless() -> None:
    def handle(email: Email) -> None:
        try:
            time.sleep(LONG_S)
        except BaseException:
            return

    assert "hung" in run_handler(handle, RAW, timeout=0.05).reason


def test_an_async_handler_that_takes_long_is_cancelled() -> None:
    async def handle(email: Email) -> None:
        await asyncio.sleep(LONG_S)

    outcome = run_handler(handle, RAW, timeout=0.05)
    assert outcome.failed
    assert "handler.timeout" in outcome.reason
    assert "failure 1 of 5" in outcome.next


def test_threads_of_the_configuration_are_threads_here(tmp_path: Path) -> None:
    config = tmp_path / "supervisor.toml"
    config.write_text("[handler]\nthreads = 2\ntimeout = 0.05\n")

    async def work() -> None: ...

    def handle(email: Email) -> None:
        asyncio.run(work())  # no loop runs in a thread
        assert threading.current_thread() is not threading.main_thread()

    assert run_handler(handle, RAW, config=config, timeout=LONG_S).done
    assert run_handler(raises(Reject("no")), RAW, config=config).rejected
    assert "StopIteration" in run_handler(raises(StopIteration()), RAW, config=config, timeout=LONG_S).reason
    assert "hung" in run_handler(lambda email: time.sleep(1.0), RAW, config=config).reason


def test_ctrl_c_ends_the_test_and_not_the_mail() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_handler(raises(KeyboardInterrupt()), RAW)


def test_inside_a_running_loop_it_says_what_to_do() -> None:
    async def within() -> Outcome:
        return run_handler("noop", RAW)

    with pytest.raises(RuntimeError, match="remedy"):
        asyncio.run(within())

    async def beside() -> Outcome:
        return await asyncio.to_thread(run_handler, "noop", RAW)

    assert asyncio.run(beside()).done


def test_a_name_is_looked_for_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "fmi_named.py").write_text("def handle(email): raise KeyError(email.subject)\n")
    assert run_handler("fmi_named:handle", RAW).reason == "KeyError: 'Hello'"
    with pytest.raises(HandlerLoadError, match="no 'other' in it"):
        run_handler("fmi_named:other", RAW)
    with pytest.raises(HandlerLoadError, match="is a class"):
        run_handler(Desk, RAW)


def test_a_traceback_is_the_users_own_even_through_causes_and_groups() -> None:
    async def fails() -> None:
        int("x")

    async def handle(email: Email) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
        except* ValueError as error:
            raise RuntimeError("outer") from error

    said = run_handler(handle, RAW).traceback
    assert 'int("x")' in said
    assert "taskgroups.py" not in said
    assert "pipeline" not in said


def test_nothing_heavy_comes_with_it() -> None:
    program = (
        "import sys\nfrom fastmail_ingest.testing import run_handler\n"
        "assert run_handler('noop', b'Subject: x\\n\\n').done\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "fastmail_ingest.testing.run_handler" in loaded
    assert not {"redis", "fastmail_ingest.simulator", "imapclient", "rich", "requests"} & set(loaded)


def test_what_the_chaos_kit_exports_is_all_there() -> None:
    import fastmail_ingest.testing as kit  # noqa: PLC0415

    for name in kit._LAZY:
        assert getattr(kit, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = kit.nothing


def test_what_a_handler_returns_by_mistake_is_heeded() -> None:
    def returns(email: Email) -> Reject:
        return Reject("not for us")

    async def returns_later(email: Email) -> Retry:
        return Retry(after=5)

    assert run_handler(returns, RAW).rejected
    assert not run_handler(returns_later, RAW).done
    for answer in (Reject("no"), Retry, Reject, ValueError("no")):
        alone = run_handler(lambda email, answer=answer: answer, RAW)
        assert not alone.done
        for chain in (
            ["log", lambda email, answer=answer: answer],
            [lambda email, answer=answer: answer, coroutine],
        ):
            assert run_handler(chain, RAW).status == alone.status
    for answer in (None, 1, "done", [Retry("no")], ValueError):
        assert run_handler(lambda email, answer=answer: answer, RAW).done
