"""From entries to a settlement: call the handler with the mails, note what became of them.

No I/O but the handler's own. Whatever a handler raises becomes an outcome of that one mail.
"""

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Sequence
from threading import get_ident
from typing import Any, TypeAlias, TypeVar

from fastmail_ingest.errors import Reject, Retry, telling
from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry, Settlement, Shown
from fastmail_ingest.model.handler import says_not_done
from fastmail_ingest.model.scope import NOTHING, enter, inline, log_scope, names_of
from fastmail_ingest.pipeline.custody import Taken, awake_s
from fastmail_ingest.pipeline.judge import Judge, OpenedMail, words_of
from fastmail_ingest.pipeline.opening import Part, open_mail
from fastmail_ingest.pipeline.ports import Desk

Function: TypeAlias = Callable[[Email], object]
_Error = TypeVar("_Error", bound=Exception)


def handle_inline(
    function: Function, taken: Taken, desk: Desk, judge: Judge, until: float, blobs: BlobSource | None = None
) -> Settlement:
    """Call a sync handler for one mail after the other until `until` (see awake_s) or an open breaker.

    `taken.begun` tells how far it came. This is the hot loop: at full speed a mail spends 3 us here.
    """
    lock, succeeded, failed, opened, began = taken.lock, False, False, None, awake_s()
    for entry in taken.rest():
        with lock:
            if not taken.left:
                break  # given to others just now
            taken.begun += 1
            opened = open_mail(entry, taken.settlement, blobs)
        if opened is None:
            continue
        desk.hold(0, entry)
        inline.about = opened.email
        outcome = None
        try:
            if (answer := function(opened.email)) is not None:
                _heed(answer)
        except BaseException as error:
            _leave_if_twin()
            outcome = judge.decide(opened, error)
        else:
            _leave_if_twin()
        ended = awake_s()
        with lock:
            taken.settlement.took.append(ended - began)
            if outcome is None:
                taken.settlement.add_done(entry, opened.email.id, opened.fetched_at)
            else:
                taken.settlement.add_failed(outcome)
        if outcome is None and failed:
            judge.guard.succeeded()
        failed, succeeded = outcome is not None, succeeded or outcome is None
        if ended >= until or (failed and not judge.guard.takes):
            break
        began = ended
    inline.about = NOTHING
    desk.release(0)
    if succeeded and not failed:
        judge.guard.succeeded()
    return shown(taken.take_settlement(), opened)


def shown(settlement: Settlement, opened: OpenedMail | None) -> Settlement:
    """Let this mail, the last that was worked at, stand for all of them in the metrics.

    One that took long was the last: a worker stops after it, to write down what it has done.
    """
    if opened is not None and settlement.took:
        done = not settlement.delayed and not settlement.dead
        settlement.shown = Shown(
            settlement.took[-1],
            opened.email.correlation_id,
            opened.entry.lane,
            opened.fetched_at if done else 0.0,
        )
    return settlement


_forked = False


def _note_fork() -> None:
    global _forked  # noqa: PLW0603 - a fact about the process
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def begin_process() -> None:
    """Say that this process is a worker, and no copy that a handler made of one."""
    global _forked  # noqa: PLW0603
    _forked = False
    inline.thread = get_ident()


def _leave_if_twin() -> None:
    """A handler has forked and the child came back from it: it must not go on as a second worker."""
    if _forked:
        os._exit(os.EX_SOFTWARE)


def _heed(answer: object) -> None:
    """What a handler returns means nothing, but for what must not count as done.

    A coroutine of a sync function has done nothing yet; Retry and Reject are returned by batch handlers, so
    that one mail's handler may do it by mistake, or return another exception.
    """
    if says_not_done(answer):
        raise answer
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise _ours(TypeError, "the handler returned an awaitable. remedy: make the handler `async def`")


async def handle_one(
    call: Callable[[Email], Awaitable[object]],
    entry: Entry,
    judge: Judge,
    timeout_s: float | None,
    blobs: BlobSource | None = None,
) -> Settlement:
    """Await an async handler (or one in a thread) for one mail, for `timeout_s` at the most."""
    settlement, began = Settlement(), awake_s()
    opened = open_mail(entry, settlement, blobs)
    if opened is None:
        return settlement
    deadline = asyncio.timeout(timeout_s)
    enter(names_of(opened.email))
    try:
        async with deadline:
            if (answer := await call(opened.email)) is not None:
                _heed(answer)
    except asyncio.CancelledError:
        if _we_are_cancelled():
            raise
        settlement.add_failed(judge.decide(opened, _cancelled()))
    except TimeoutError as error:
        if deadline.expired():  # it is the mail that takes long, not something that is down
            settlement.add_failed(judge.decide(opened, _late(error, timeout_s), counts=False))
        else:
            settlement.add_failed(judge.decide(opened, error))
    except BaseException as error:
        _leave_if_twin()
        settlement.add_failed(judge.decide(opened, error))
    else:
        settlement.add_done(entry, opened.email.id, opened.fetched_at)
        judge.guard.succeeded()
    enter(NOTHING)
    settlement.took.append(awake_s() - began)
    return shown(settlement, opened)


def _we_are_cancelled() -> bool:
    """Whether somebody cancels this task; else the handler raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _late(error: TimeoutError, timeout_s: float | None) -> TimeoutError:
    """The handler's own words if it timed something out itself, else ours."""
    if words := words_of(error):
        return TimeoutError(words)
    return _ours(TimeoutError, f"not finished after handler.timeout = {timeout_s} s")


def _cancelled() -> RuntimeError:
    return _ours(RuntimeError, "the handler was cancelled from within")


def _ours(kind: type[_Error], words: str) -> _Error:
    """An exception that says what we have to say of a handler's call; the log may say it, too."""
    return telling(kind(words), words)


async def handle_batch(
    function: Callable[[list[Email]], Any],
    part: Part,
    judge: Judge,
    timeout_s: float,
    only: Callable[[Entry], None] = lambda _: None,
) -> Settlement:
    """Call a batch handler; if it raises, call it again for each mail alone, to find the one at fault.

    `only` is told the one entry that is in hand while it is tried alone.
    """
    settlement, opened = part.settlement, part.mails
    if not opened:
        return settlement
    try:
        outcomes = await _outcomes(function, [mail.email for mail in opened], timeout_s)
    except BaseException as error:
        if _we_are_cancelled():
            raise
        if len(opened) == 1:
            settlement.add_failed(judge.decide(opened[0], error))
            return settlement
        for mail in opened:
            if not judge.guard.takes:
                settlement.add_failed(judge.postpone(mail, error))
                continue
            mail.email.attempt += 1
            only(mail.entry)
            await _handle_alone(function, mail, settlement, judge, timeout_s)
        return settlement
    for mail, outcome in zip(opened, outcomes, strict=True):
        _note(mail, outcome, settlement, judge)
    return settlement


async def _handle_alone(
    function: Callable[[list[Email]], Any],
    mail: OpenedMail,
    settlement: Settlement,
    judge: Judge,
    timeout_s: float,
) -> None:
    try:
        (outcome,) = await _outcomes(function, [mail.email], timeout_s)
    except BaseException as error:
        if _we_are_cancelled():
            raise
        # Not kept under another name: with its traceback it would be a circle that keeps the mail in memory.
        _note(mail, error, settlement, judge)
    else:
        _note(mail, outcome, settlement, judge)


async def _outcomes(
    function: Callable[[list[Email]], Any], emails: list[Email], timeout_s: float
) -> Sequence[BaseException | None]:
    """One outcome a mail: None is done."""
    # The list is the handler's to empty; how many there were is ours to know.
    with log_scope(emails[0] if len(emails) == 1 else NOTHING):
        answer = await _answer(function, list(emails), timeout_s)
    if answer is None:
        return [None] * len(emails)
    if not isinstance(answer, (list, tuple)) or len(answer) != len(emails):
        raise _ours(
            TypeError,
            f"a batch handler returns None or a list with one outcome for each of its {len(emails)} mails",
        )
    wrong = [
        outcome for outcome in answer if outcome is not None and not isinstance(outcome, (Retry, Reject))
    ]
    if wrong:
        kind = type(wrong[0]).__name__
        raise _ours(TypeError, f"an outcome is None, Retry(...) or Reject(...), not an instance of {kind}")
    return answer


async def _answer(function: Callable[[list[Email]], Any], emails: list[Email], timeout_s: float) -> Any:
    answer = function(emails)
    _leave_if_twin()
    if not inspect.isawaitable(answer):
        return answer
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            return await answer
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise _late(error, timeout_s) from error
    except asyncio.CancelledError as error:
        if _we_are_cancelled():
            raise
        raise _cancelled() from error


def _note(mail: OpenedMail, outcome: BaseException | None, settlement: Settlement, judge: Judge) -> None:
    if outcome is None:
        settlement.add_done(mail.entry, mail.email.id, mail.fetched_at)
        judge.guard.succeeded()
    else:
        settlement.add_failed(judge.decide(mail, outcome))
