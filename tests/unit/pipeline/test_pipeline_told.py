"""What the log says of an exception of the handler: never a word that may be the mail's."""

import asyncio
import logging

import pytest
from support.stream_world import envelope

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import CircuitOpen, Reject, Retry, SinkUnavailable, told
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.batch import handle_batch, handle_one
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.pipeline.opening import open_part
from fastmail_ingest.policy import retry
from fastmail_ingest.policy.backoff import Backoff

PLANTED = "the words of a stranger"


class Own(Exception):
    def __str__(self) -> str:
        raise ValueError(PLANTED)


class OwnReject(Reject):
    def __str__(self) -> str:
        raise ValueError(PLANTED)


def entry() -> Entry:
    made = envelope(
        "a:INBOX:7:1", MailboxKey("a", "INBOX"), 7, 1, f"Subject: {PLANTED}\n\n{PLANTED}".encode()
    )
    return Entry(Lane.LIVE, b"1-1", codec.encode(made))


def outcome_of(
    caplog: pytest.LogCaptureFixture, handler, *, batch: bool = False, timeout_s: float = 60.0
) -> tuple[str, Settlement]:
    """The one line in the log, and the settlement."""
    rule = retry.RetryRule(1, Backoff(first_s=1.0, multiplier=2.0, cap_s=60.0, jitter=0.0))
    judge = Judge(retry.ErrorRules(rule), Guard(CircuitBreaker("handler"), ()))
    caplog.set_level(logging.INFO)
    if batch:
        settlement = asyncio.run(handle_batch(handler, open_part([entry()], 1), judge, 60.0))
    else:
        settlement = asyncio.run(handle_one(handler, entry(), judge, timeout_s))
    (record,) = caplog.records
    return record.getMessage(), settlement


def raising(error: BaseException):
    async def handle(email: object) -> None:
        raise error

    return handle


@pytest.mark.parametrize(
    "error",
    [
        ValueError(PLANTED),
        KeyError(PLANTED),
        TimeoutError(PLANTED),
        OSError(2, PLANTED, PLANTED),
        Own(),
        OwnReject(),
    ],
)
def test_words_of_others_are_not_told(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    line, settlement = outcome_of(caplog, raising(error))
    kind = "TimeoutError" if isinstance(error, TimeoutError) else type(error).__name__
    assert f": {kind}" in line
    assert PLANTED not in line
    (dead,) = settlement.dead
    if not isinstance(error, Own | OwnReject):
        assert PLANTED in dead.message  # there it is, for those who may look at mails


@pytest.mark.parametrize("error", [Reject("not for us"), Retry("not for us"), SinkUnavailable("not for us")])
def test_what_a_handler_says_on_purpose_is_told(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    line, _ = outcome_of(caplog, raising(error))
    assert f": {type(error).__name__}: not for us (" in line


def test_what_we_have_to_say_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert told(CircuitOpen("crm", 7.0)) == 'the circuit breaker "crm" is open; it tries again in 7.0 s'

    async def endless(email: object) -> None:
        await asyncio.Event().wait()

    line, _ = outcome_of(caplog, endless, timeout_s=0.05)
    assert ": TimeoutError: not finished after handler.timeout = 0.05 s" in line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([PLANTED], "an outcome is None, Retry(...) or Reject(...), not an instance of str"),
        ([None, PLANTED], "a batch handler returns None or a list with one outcome for each of its 1 mails"),
    ],
)
def test_a_wrong_answer_of_a_batch_is_told_by_its_form(
    caplog: pytest.LogCaptureFixture, answer: list[object], words: str
) -> None:
    line, _ = outcome_of(caplog, lambda _: answer, batch=True)
    assert f": TypeError: {words} (" in line


def test_it_is_not_long(caplog: pytest.LogCaptureFixture) -> None:
    line, _ = outcome_of(caplog, raising(Reject("x" * 10_000)))
    assert len(line) < 600


def test_a_timeout_of_the_handlers_own_is_not_called_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def impatient(email: object) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.001)

    line, _ = outcome_of(caplog, impatient)
    assert "handler.timeout" not in line
    assert "TimeoutError (" in line
