"""How a batch is cut into what a batch handler is given at a time, and that no more stays in memory."""

import asyncio
import gc
import weakref
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.custody import Custody, Relief, Taken, awake_s
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.pipeline.opening import PART_BYTES, Part, open_part
from fastmail_ingest.pipeline.runner import Around, CallPlan, make_runner
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.retry import ErrorRules, RetryRule

RAW = b"Subject: s\r\n\r\nbody"
WHOLE, HALF = PART_BYTES, PART_BYTES // 2


def entry(number: int, size: int = len(RAW), *, deaths: int = 0, **changes: object) -> Entry:
    """One whose mail has `size` bytes: above a few, they are in a blob."""
    fields = {
        "version": codec.BLOB_VERSION if size > len(RAW) else codec.CODEC_VERSION, "id": f"m{number}",
        "account": "a", "mailbox": "INBOX", "uid_validity": 1, "uid": number, "flags": (), "labels": (),
        "thread_id": "", "internal_date": 0.0, "size": size, "content_hash": b"", "fetched_at": 1.6e9,
        "trace_id": "", "raw": RAW[:size], "blob": "there" if size > len(RAW) else "", **changes,
    }  # fmt: skip
    payload = codec.encode(codec.Envelope(**fields))  # type: ignore[arg-type]
    return Entry(Lane.LIVE, b"%d-0" % number, payload, deaths=deaths)


def parts(entries: Sequence[Entry], count_max: int = 100) -> Iterator[Part]:
    begun = 0
    while begun < len(entries):
        part = open_part(entries[begun:], count_max)
        assert part.begun > 0
        begun += part.begun
        yield part


def ids(part: Part) -> list[str]:
    return [mail.email.id for mail in part.mails]


@pytest.mark.parametrize(
    ("sizes", "count_max", "lengths"),
    [
        ([1] * 5, 2, [2, 2, 1]),
        ([1] * 4, 4, [4]),
        ([HALF, HALF, 1], 9, [2, 1]),
        ([HALF, HALF + 1], 9, [1, 1]),
        ([WHOLE - 1, 1, 1], 9, [2, 1]),
        ([WHOLE], 9, [1]),
        ([WHOLE + 1], 9, [1]),
        ([1, 3 * WHOLE, 1], 9, [1, 1, 1]),
        ([0, WHOLE, 0, 1], 9, [3, 1]),
    ],
)
def test_so_many_mails_or_so_many_bytes_or_one_large_mail(
    sizes: list[int], count_max: int, lengths: list[int]
) -> None:
    entries = [entry(number, size) for number, size in enumerate(sizes)]
    assert [len(part.mails) for part in parts(entries, count_max)] == lengths


@given(
    st.lists(st.tuples(st.sampled_from([1, HALF, WHOLE, 2 * WHOLE]), st.integers(0, 1))),
    st.integers(1, 5),
)
def test_every_mail_is_in_one_part_in_order_and_no_part_is_too_large(
    kinds: list[tuple[int, int]], count_max: int
) -> None:
    found = list(parts([entry(n, size, deaths=deaths) for n, (size, deaths) in enumerate(kinds)], count_max))
    assert [identity for part in found for identity in ids(part)] == [f"m{n}" for n in range(len(kinds))]
    for part in found:
        assert part.begun == len(part.mails) <= count_max
        assert len(part.mails) == 1 or sum(mail.email.size for mail in part.mails) <= PART_BYTES
        assert len(part.mails) == 1 or not any(mail.entry.deaths for mail in part.mails)


def test_what_is_no_mail_for_a_handler_counts_no_bytes_and_is_told_once() -> None:
    damaged = Entry(Lane.LIVE, b"9-0", b"\xff")
    cut_off = entry(1, 5 * WHOLE, truncated=True, blob="")
    one, other = parts([damaged, entry(0, WHOLE), cut_off, entry(2), damaged])
    assert (ids(one), one.begun) == (["m0"], 3)
    assert [dead.reason for dead in one.settlement.dead] == ["undecodable", "too_large"]
    assert (ids(other), other.begun) == (["m2"], 2)
    assert [dead.reason for dead in other.settlement.dead] == ["undecodable"]


def test_a_mail_that_was_in_hand_at_a_death_is_alone_also_behind_one_that_is_no_mail() -> None:
    entries = [entry(0), Entry(Lane.LIVE, b"9-0", b"\xff"), entry(1, deaths=1), entry(2, deaths=1), entry(3)]
    assert [ids(part) for part in parts(entries)] == [["m0"], ["m1"], ["m2"], ["m3"]]


# --- what stays in memory ---------------------------------------------------------------------------


class Desk:
    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}

    def hold(self, cell: int, entry: Entry) -> None:
        self.held[cell] = entry.id

    def release(self, cell: int) -> None:
        self.held.pop(cell, None)


class Settler:
    def __init__(self) -> None:
        self.settlement = Settlement()

    def add(self, settlement: Settlement) -> None:
        self.settlement = self.settlement.merged_with(settlement)

    async def room(self) -> None:
        await asyncio.sleep(0)


class Stream:
    unavailable = (ConnectionError,)

    def settle(self, settlement: Settlement) -> int:
        return 0

    def release(self, held: object) -> int:
        return 0


class Mark:
    """Lives as long as the mail that it is noted in."""


class Handler:
    """Marks each mail, and looks at each call whether those of earlier parts are still there."""

    def __init__(self, desk: Desk, *, fails: bool) -> None:
        self._desk, self._fails = desk, fails
        self.marks: dict[str, weakref.ref[Mark]] = {}
        self.parts: list[list[str]] = []

    def __call__(self, emails: list[Email]) -> None:
        if not set(self._desk.held.values()) <= {f"{email.uid}-0".encode() for email in emails}:
            raise AssertionError("what is shown in hand is not what is in hand")
        if emails[0].id not in self.marks:  # not one of a batch that is tried alone
            self.parts.append([email.id for email in emails])
            self.kept = [identity for identity, mark in self.marks.items() if mark() is not None]
            assert self.kept == []
        for email in emails:
            email.notes["mark"] = mark = Mark()
            self.marks[email.id] = weakref.ref(mark)
        if self._fails:
            raise ValueError("none of them")


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What goes away must do so at once: the collector counts objects, and a large mail is but one."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("fails", [False, True])
def test_the_mails_of_a_part_are_freed_before_the_next_is_handled(fails: bool) -> None:
    desk, settler, relief = Desk(), Settler(), Relief(Stream())
    handler = Handler(desk, fails=fails)
    rules = ErrorRules(RetryRule(attempts=3, backoff=Backoff(10, 2, 100, 0)))
    guard = Guard(CircuitBreaker("handler", failures=9), ["OSError"])

    async def owned(entries: Sequence[Entry]) -> list[Entry]:
        return list(entries)

    around = Around(desk, settler, Judge(rules, guard), Custody(owned), relief, None)  # type: ignore[arg-type]
    plan = CallPlan(
        handler, is_async=False, is_batch=True, concurrency=1, threads=0, batch_size=4, timeout_s=9
    )
    taken = Taken([entry(n, HALF) for n in range(5)] + [entry(n) for n in range(5, 11)], awake_s())
    asyncio.run(make_runner(plan, around).handle(taken, asyncio.Event()))
    relief.close()
    assert handler.parts == [["m0", "m1"], ["m2", "m3"], ["m4", "m5", "m6", "m7"], ["m8", "m9", "m10"]]
    assert handler.kept == []
    assert taken.left == 0
    assert desk.held == {}
    assert settler.settlement.done_count == (0 if fails else 11)
    assert {delayed.error for delayed in settler.settlement.delayed} == (
        {"ValueError: none of them"} if fails else set()
    )
