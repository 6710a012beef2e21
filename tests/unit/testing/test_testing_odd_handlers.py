"""Handlers that end in no ordinary way, mails that are no ordinary files, and chains in `run_handler`."""

import asyncio
import os
import threading
import time
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest

from fastmail_ingest import Email, Reject, batch_handler
from fastmail_ingest.errors import ConfigError, HandlerLoadError, StartupFailed
from fastmail_ingest.testing import make_email, run_handler, trial

RAW = b"From: Ann <ann@example.org>\nSubject: Hello\n\ntext\n"
LONG_S = 60.0  # far beyond any deadline that is tried here


async def swallows(email: object = None) -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)


@batch_handler
async def swallows_lists(emails: list[Email]) -> None:
    await swallows()


@pytest.mark.parametrize("handler", [swallows, swallows_lists, ["log", swallows]])
def test_one_that_swallows_its_cancellation_hung(handler: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_GRACE_S", 0.05)
    outcome = run_handler(handler, RAW, timeout=0.05)
    assert outcome.failed
    assert "hung: not finished after handler.timeout = 0.05 s" in outcome.reason
    assert "its worker is killed" in outcome.next


@pytest.mark.parametrize("is_async", [True, False])
def test_a_startup_that_hangs_is_named(is_async: bool) -> None:
    class Pool:
        def startup(self) -> object:
            return swallows() if is_async else time.sleep(LONG_S)

        def __call__(self, email: Email) -> None: ...

    with pytest.raises(StartupFailed, match=r"Pool\.startup is not finished after .* = 0\.05 s.* remedy: "):
        run_handler(Pool(), RAW, timeout=0.05)


def test_a_shutdown_that_hangs_takes_nothing_back() -> None:
    class Pool:
        async def shutdown(self) -> None:
            await swallows()

        def __call__(self, email: Email) -> None: ...

    assert run_handler(Pool(), RAW, timeout=0.05).done


def test_asyncio_run_in_a_sync_handler_is_an_error_but_in_threads(tmp_path: Path) -> None:
    async def work() -> None: ...

    def handle(email: Email) -> None:
        running = work()
        try:
            asyncio.run(running)
        finally:
            running.close()

    assert "asyncio.run() cannot be called from a running event loop" in run_handler(handle, RAW).reason
    config = tmp_path / "supervisor.toml"
    config.write_text("[handler]\nthreads = 1\n")
    assert run_handler(handle, RAW, config=config).done


def test_a_chain_is_a_list_as_in_the_configuration() -> None:
    threads: list[str] = []

    def first(email: Email) -> None:
        email.notes["seen"] = True

    @batch_handler
    async def second(emails: list[Email]) -> list[Reject | None]:
        threads.append(threading.current_thread().name)
        return [Reject("seen") if emails[0].notes.get("seen") else None]

    outcome = run_handler(["classify", first, second], RAW)
    assert (outcome.rejected, outcome.reason) == (True, "seen")
    assert outcome.email.notes["classification"].priority == "normal"
    assert threads == ["MainThread"]
    assert run_handler([second], RAW).done
    with pytest.raises(HandlerLoadError, match="remedy"):
        run_handler([], RAW)


def test_an_email_for_ones_own_tests() -> None:
    message = EmailMessage()
    message["Subject"] = "Order 4711"
    email = make_email(message, attempt=2, labels=("orders",))
    assert (email.subject, email.attempt, email.labels) == ("Order 4711", 2, ("orders",))
    assert make_email(RAW).id == make_email(RAW).id == run_handler("noop", RAW).email.id


@pytest.fixture
def small(tmp_path: Path) -> Path:
    config = tmp_path / "supervisor.toml"
    config.write_text("[producer]\nmax_mail = 100\n")
    return config


def test_a_mail_that_no_handler_would_be_given_is_refused(tmp_path: Path, small: Path) -> None:
    large = tmp_path / "large.eml"
    with large.open("wb") as file:
        file.truncate(1 << 40)  # a hole: whoever reads it all needs a terabyte
    for eml in (large, b"x" * 101):
        with pytest.raises(ConfigError, match=r"more than 100 bytes .*too_large.*remedy: raise max_mail"):
            run_handler("noop", eml, config=small)
    assert run_handler("noop", b"x" * 100, config=small).done


def test_what_is_no_file_with_a_mail_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path), str(tmp_path / "absent"), "a\0b"):
        with pytest.raises(ConfigError, match="remedy: name a file with one mail in it"):
            make_email(path)
