"""Mails into mailboxes: all at once before a run, or one by one on a schedule that waits for nobody."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeAlias

from fastmail_ingest.simulator.corpus import Corpus, Headers
from fastmail_ingest.simulator.mailbox import Fixed, Mail, Mailbox

NUMBER_HEADER = "X-Bench-Number"
DUE_HEADER = "X-Bench-Due"

Stamp: TypeAlias = Callable[[int, float], Headers]
"""The extra headers of a mail, from its number and the time.monotonic() seconds at which it is due."""

_SHORTEST_SLEEP_S = 0.001  # the loop's timers know whole milliseconds; less would be a busy wait
_LATE_MAILS_IN_A_ROW = 32


def bench_stamp(number: int, due: float) -> Headers:
    """The number, and the scheduled time in time.monotonic() seconds."""
    return ((NUMBER_HEADER, str(number)), (DUE_HEADER, f"{due:.6f}"))


def preload(mailbox: Mailbox, corpus: Corpus, count: int, first: int = 0) -> None:
    """Append mails `first` to `first + count - 1`; each is rendered when it is fetched, so this is cheap."""
    render = corpus.render
    for number in range(first, first + count):
        mailbox.append(Mail(source=render, number=number, internal_date=corpus.date(number)))


async def deliver(
    mailbox: Mailbox,
    corpus: Corpus,
    rate_per_s: float,
    count: int,
    started_at: float,
    stamp: Stamp = bench_stamp,
) -> float:
    """Append mail i at `started_at` (time.monotonic() seconds) + i / rate; returns the worst lateness in s.

    Open loop: the schedule never shifts. A mail whose time has passed is appended at once, stamped with the
    time at which it was due, so that a measured latency contains the waiting.
    """
    worst = 0.0
    for number in range(count):
        due = started_at + number / rate_per_s
        while (early := due - time.monotonic()) > 0:
            await asyncio.sleep(max(early, _SHORTEST_SLEEP_S))
        worst = max(worst, -early)
        if number % _LATE_MAILS_IN_A_ROW == 0:
            await asyncio.sleep(0)  # however late we are, the sessions must get their turn
        head, body = corpus.render(number, stamp(number, due))
        mailbox.append(Mail(source=Fixed(head, body), number=number, internal_date=time.time()))
    return worst
