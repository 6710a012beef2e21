"""`retries list|now`: the words around `RetrySchedule`."""

from collections.abc import Sequence
from itertools import islice

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.stream.schedule import RetrySchedule, Waiting

__all__ = ["RetrySchedule", "list_waiting", "now"]

_TABLE_MAX = 50


def list_waiting(schedule: RetrySchedule, limit: int | None, *, as_json: bool) -> None:
    """Print what waits, soonest first."""
    total = len(schedule)
    if as_json:
        words.say_json_list({"total": total}, "retries", map(msgspec.structs.asdict, islice(schedule, limit)))
        return
    most = _TABLE_MAX if limit is None else limit
    waiting = list(islice(schedule, most))
    if not waiting:
        words.say("no mail waits for a retry")
        return
    columns = ("mail", "due in", "failures", "last error")
    words.console().print(words.table(columns, map(_row, waiting), numbers=("due in", "failures")))
    words.say(f"{len(waiting)} shown of {total} mails that wait for a retry")


def _row(waiting: Waiting) -> Sequence[object]:
    due = words.duration(waiting.due_in_s) if waiting.due_in_s > 0 else "now"
    return waiting.identity, due, waiting.failures, waiting.error


def now(schedule: RetrySchedule, identities: Sequence[str], *, everything: bool, as_json: bool) -> None:
    """Give these mails, or all, to the handler at once."""
    if everything:
        with words.progress("retry", len(schedule)) as bar:
            moved = schedule.all_now(bar)
    else:
        moved = schedule.now(identities)
    if as_json:
        words.say_json({"moved": moved})
    else:
        words.say(f"{moved} mails go to the handler now")
