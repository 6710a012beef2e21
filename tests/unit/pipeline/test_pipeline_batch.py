"""What becomes of each mail, whatever its handler does."""

import asyncio
import math
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.batch import handle_batch, handle_inline, handle_one
from fastmail_ingest.pipeline.custody import Taken
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.pipeline.opening import open_part
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.retry import ErrorRules, RetryRule
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.scripts import Arguments

RULE = RetryRule(attempts=3, backoff=Backoff(first_s=10, multiplier=2, cap_s=100, jitter=0))
LONG_S = 60.0


def judge(failures: int = 1000, recovery_s: float = 30.0) -> Judge:
    breaker = CircuitBreaker("handler", failures=failures, recovery_s=recovery_s, successes=1)
    return Judge(ErrorRules(RULE), Guard(breaker, ["OSError"]))


class DeskLog:
    """Writes down what was put on the desk."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.held: dict[int, bytes] = {}

    def hold(self, cell: int, entry: Entry) -> None:
        self.seen.append(entry.id)
        self.held[cell] = entry.id

    def release(self, cell: int) -> None:
        self.held.pop(cell, None)


def entry(number: int, *, failures: int = 0, returns: int = 0, **changes: object) -> Entry:
    fields = {
        "version": codec.CODEC_VERSION, "id": f"m{number}", "account": "a", "mailbox": "INBOX", "uid_validity": 1,
        "uid": number, "flags": (), "labels": (), "thread_id": "", "internal_date": 0.0, "size": 3,
        "content_hash": b"", "fetched_at": 1.6e9, "trace_id": "", "raw": b"a:b", **changes,
    }  # fmt: skip
    payload = codec.encode(codec.Envelope(**fields))  # type: ignore[arg-type]
    return Entry(Lane.LIVE, b"%d-0" % number, payload, failures=failures, returns=returns)


def inline(
    function: Callable[[Email], object],
    entries: Sequence[Entry],
    until: float = math.inf,
    by: Judge | None = None,
) -> tuple[Settlement, int, DeskLog]:
    desk, taken = DeskLog(), Taken(list(entries), 0.0)
    settlement = handle_inline(function, taken, desk, by or judge(), until)
    return settlement, taken.begun, desk


def in_batch(
    function: Callable[..., object], entries: Sequence[Entry], timeout_s: float = LONG_S
) -> Settlement:
    return asyncio.run(handle_batch(function, open_part(entries, len(entries)), judge(), timeout_s))


def done(settlement: Settlement) -> list[str]:
    return [identity for columns in settlement.done.values() for identity in columns.identities]


def raising(error: Exception, *at: str) -> Callable[[Email], None]:
    def handle(email: Email) -> None:
        if email.id in at:
            raise error

    return handle


def test_only_the_mail_at_fault_is_retried() -> None:
    settlement, handled, desk = inline(raising(ValueError("boom"), "m1"), [entry(n) for n in range(3)])
    assert (done(settlement), handled) == (["m0", "m2"], 3)
    (delayed,) = settlement.delayed
    assert (delayed.identity, delayed.error) == ("m1", "ValueError: boom")
    assert (desk.seen, desk.held) == ([b"0-0", b"1-0", b"2-0"], {})


@pytest.mark.parametrize(
    ("error", "failures", "reason"),
    [(Reject("no"), 0, "rejected"), (ValueError("x"), 2, "retries_exhausted"), (Retry("x"), 2, "retries_exhausted")],
)  # fmt: skip
def test_what_gives_up_goes_to_the_dead_letters(error: Exception, failures: int, reason: str) -> None:
    settlement, _, _ = inline(raising(error, "m1"), [entry(1, failures=failures)])
    (dead,) = settlement.dead
    assert (dead.identity, dead.reason, dead.error_type) == ("m1", reason, type(error).__name__)
    assert "in handle" in dead.traceback


def test_what_no_handler_can_be_given_is_put_aside_without_a_call() -> None:
    calls: list[str] = []
    entries = [Entry(Lane.LIVE, b"1-0", b"junk"), entry(2, truncated=True), entry(3)]
    settlement, handled, desk = inline(lambda email: calls.append(email.id), entries)
    assert (calls, handled, done(settlement), desk.seen) == (["m3"], 3, ["m3"], [b"3-0"])
    assert [dead.reason for dead in settlement.dead] == ["undecodable", "too_large"]


def test_a_slice_ends_when_its_time_is_up() -> None:
    settlement, handled, _ = inline(lambda email: None, [entry(n) for n in range(3)], until=0.0)
    assert (done(settlement), handled) == (["m0"], 1)


def test_the_handler_learns_that_a_mail_may_have_been_seen() -> None:
    attempts: list[int] = []
    inline(
        lambda email: attempts.append(email.attempt), [entry(1), entry(2, failures=1), entry(3, returns=2)]
    )
    assert attempts == [1, 2, 3]


def test_a_batch_is_done_as_a_whole() -> None:
    assert done(in_batch(lambda emails: None, [entry(n) for n in range(3)])) == ["m0", "m1", "m2"]


def test_a_batch_says_what_became_of_each() -> None:
    settlement = in_batch(lambda emails: [None, Retry(after=5), Reject("no")], [entry(n) for n in range(3)])
    assert done(settlement) == ["m0"]
    assert [delayed.identity for delayed in settlement.delayed] == ["m1"]
    assert [dead.identity for dead in settlement.dead] == ["m2"]


@pytest.mark.parametrize("is_async", [True, False])
def test_a_batch_that_raises_is_tried_mail_by_mail(is_async: bool) -> None:
    calls: list[list[tuple[str, int]]] = []

    def handle(emails: list[Email]) -> None:
        calls.append([(email.id, email.attempt) for email in emails])
        if any(email.id == "m1" for email in emails):
            raise ValueError("boom")

    async def handle_async(emails: list[Email]) -> None:
        handle(emails)

    settlement = in_batch(handle_async if is_async else handle, [entry(n) for n in range(3)])
    assert calls == [[("m0", 1), ("m1", 1), ("m2", 1)], [("m0", 2)], [("m1", 2)], [("m2", 2)]]
    assert done(settlement) == ["m0", "m2"]
    assert [delayed.identity for delayed in settlement.delayed] == ["m1"]


@pytest.mark.parametrize(
    "answer", [[], [None], [None] * 3, 5, "ab", [None, "ok"], [True, False], {1: 2, 3: 4}]
)
def test_a_wrong_answer_of_a_batch_is_a_failure_of_its_mails(answer: object) -> None:
    settlement = in_batch(lambda emails: answer if len(emails) > 1 else "no", [entry(1), entry(2)])
    assert done(settlement) == []
    assert [delayed.error.partition(":")[0] for delayed in settlement.delayed] == ["TypeError"] * 2


def test_a_batch_of_junk_calls_nobody() -> None:
    settlement = in_batch(lambda emails: 1 / 0, [Entry(Lane.LIVE, b"1-0", b"junk")])
    assert [dead.reason for dead in settlement.dead] == ["undecodable"]


def test_an_async_handler_has_a_deadline() -> None:
    async def never(email: Email) -> None:
        await asyncio.Event().wait()

    settlement = asyncio.run(handle_one(never, entry(1), judge(), 0.0))
    assert settlement.delayed[0].error == "TimeoutError: not finished after handler.timeout = 0.0 s"


# --- a handler's mistake must harm its own mail only ------------------------------------------------


@pytest.mark.parametrize("after", [math.inf, math.nan, 1e300, timedelta(minutes=5), "5"], ids=repr)
def test_a_strange_delay_harms_no_neighbour(after: object) -> None:
    error = Retry("later", after=after)  # type: ignore[arg-type]
    settlement, _, _ = inline(raising(error, "m1"), [entry(n) for n in range(3)])
    assert done(settlement) == ["m0", "m2"]
    assert Arguments(Keys("t"), 30).settle(settlement).args


class Unspeakable(Exception):
    """An error that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_without_words_harms_no_neighbour() -> None:
    settlement, _, _ = inline(raising(Unspeakable(), "m1"), [entry(n) for n in range(3)])
    assert done(settlement) == ["m0", "m2"]


def test_a_handler_that_was_never_awaited_is_not_done() -> None:
    async def work(email: Email) -> None: ...

    settlement, _, _ = inline(lambda email: work(email), [entry(1)])  # noqa: PLW0108 - the sync wrapper is the point
    assert done(settlement) == []


def test_a_handler_in_a_thread_that_was_never_awaited_is_not_done() -> None:
    async def work(email: Email) -> None: ...

    async def in_thread(email: Email) -> object:
        return work(email)

    assert done(asyncio.run(handle_one(in_thread, entry(1), judge(), LONG_S))) == []


def test_a_handler_that_cancels_itself_fails_its_own_mail() -> None:
    async def handle(email: Email) -> None:
        raise asyncio.CancelledError

    (delayed,) = asyncio.run(handle_one(handle, entry(1), judge(), LONG_S)).delayed
    assert "cancelled from within" in delayed.error


def test_a_batch_that_cancels_itself_fails_the_mail_at_fault() -> None:
    async def handle(emails: list[Email]) -> None:
        if any(email.id == "m1" for email in emails):
            raise asyncio.CancelledError

    settlement = in_batch(handle, [entry(n) for n in range(3)])
    assert done(settlement) == ["m0", "m2"]


def test_a_batch_that_is_late_says_so_and_shows_which_mail_is_in_hand() -> None:
    shown: list[bytes] = []

    async def never(emails: list[Email]) -> None:
        await asyncio.Event().wait()

    settlement = asyncio.run(
        handle_batch(
            never, open_part([entry(1), entry(2)], 2), judge(), 0.0, lambda one: shown.append(one.id)
        )
    )
    assert shown == [b"1-0", b"2-0"]
    assert {delayed.error for delayed in settlement.delayed} == {
        "TimeoutError: not finished after handler.timeout = 0.0 s"
    }


# --- the breaker around the handler -----------------------------------------------------------------


def test_an_open_breaker_stops_the_batch_and_burns_no_attempt() -> None:
    court = judge(failures=3)
    settlement, handled, _ = inline(
        raising(ConnectionError("down"), *[f"m{n}" for n in range(10)]),
        [entry(n, failures=2) for n in range(10)],
        by=court,
    )
    assert (handled, court.guard.closed) == (3, False)
    # The first two failed before anybody could know; the third opened it, and is not to blame.
    assert [dead.reason for dead in settlement.dead] == ["retries_exhausted"] * 2
    assert [(delayed.identity, delayed.counts) for delayed in settlement.delayed] == [("m2", False)]


def test_failures_of_the_mails_themselves_open_nothing() -> None:
    court = judge(failures=2)
    inline(raising(ValueError("bad mail"), "m1", "m2", "m3"), [entry(n) for n in range(1, 4)], by=court)
    assert court.guard.closed


def test_a_success_in_between_begins_the_count_anew() -> None:
    court = judge(failures=2)
    inline(raising(ConnectionError("down"), "m1", "m3"), [entry(n) for n in range(1, 5)], by=court)
    assert court.guard.closed


def test_our_own_deadline_says_nothing_about_a_dependency() -> None:
    court = judge(failures=1)

    async def never(email: Email) -> None:
        await asyncio.Event().wait()

    asyncio.run(handle_one(never, entry(1), court, 0.0))
    assert court.guard.closed


@pytest.mark.parametrize("answer", ["fails", "succeeds", "rejects"])
def test_a_probe_decides(answer: str) -> None:
    court = judge(failures=1, recovery_s=0.0)
    inline(raising(ConnectionError("down"), "m1"), [entry(1)], by=court)
    assert not court.guard.takes
    assert court.guard.begin_probe()
    assert court.guard.takes
    error = {"fails": ConnectionError("still down"), "rejects": Reject("no"), "succeeds": ValueError()}[
        answer
    ]
    settlement, _, _ = inline(raising(error, "m2" if answer != "succeeds" else "none"), [entry(2)], by=court)
    assert court.guard.closed is (answer != "fails")
    assert [delayed.counts for delayed in settlement.delayed] == ([False] if answer == "fails" else [])


def test_a_batch_whose_breaker_opens_on_the_way_leaves_the_rest_in_peace() -> None:
    calls: list[int] = []

    def handle(emails: list[Email]) -> None:
        calls.append(len(emails))
        raise ConnectionError("down")

    part = open_part([entry(n) for n in range(50)], 50)
    settlement = asyncio.run(handle_batch(handle, part, judge(failures=3), LONG_S))
    assert calls == [50, 1, 1, 1]
    assert [delayed.counts for delayed in settlement.delayed] == [True] * 2 + [False] * 48
