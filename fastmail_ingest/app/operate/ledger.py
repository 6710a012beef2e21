"""`ledger show|clear`: the words around `LedgerMemory`."""

from collections.abc import Sequence

from fastmail_ingest.app.operate import words
from fastmail_ingest.stream.memory import LedgerMemory, Month

__all__ = ["LedgerMemory", "clear", "consequences", "dashed", "show"]

_MIB = 1024 * 1024


def show(memory: LedgerMemory, keep_days: int, *, as_json: bool) -> None:
    """Print what is remembered, by month."""
    months = memory.months()
    mails, size = sum(month.handled for month in months), sum(month.memory_bytes for month in months)
    mean = size / mails if mails else 0.0
    if as_json:
        facts = {"handled": mails, "memory_bytes": size, "bytes_a_mail": mean, "keep_days": keep_days}
        words.say_json(facts | {"months": [_facts(month) for month in months]})
        return
    if not months:
        words.say("nothing is remembered: no mail was handled yet, or the memory was cleared")
        return
    columns = ("month", "handled", "digests", "keys", "memory", "bytes a mail")
    words.console().print(words.table(columns, map(_row, months), numbers=columns[1:]))
    words.say(f"{mails} mails in {size / _MIB:.2f} MiB, {mean:.1f} bytes a mail; kept for {keep_days} days")


def _facts(month: Month) -> dict[str, object]:
    return {
        "month": dashed(month.month), "handled": month.handled, "digests": month.digests, "keys": month.keys,
        "memory_bytes": month.memory_bytes, "bytes_a_mail": month.bytes_a_mail,
    }  # fmt: skip


def _row(month: Month) -> Sequence[object]:
    size = f"{month.memory_bytes / _MIB:.2f} MiB"
    return dashed(month.month), month.handled, month.digests, month.keys, size, f"{month.bytes_a_mail:.1f}"


def consequences(memory: LedgerMemory, before: str | None) -> str:
    """What clearing will cause, to be said before."""
    meant = [month for month in memory.months() if before is None or month.month < before]
    which = "all months" if before is None else f"the months before {dashed(before)}"
    current = any(month.month == memory.this_month() for month in meant)
    lately = " That includes what was handled lately." if current else ""
    count = sum(month.handled for month in meant)
    return (
        f"{count} handled mails of {which} will be forgotten.{lately} Nothing comes again by itself; but a "
        "mail that is fetched again (a new UIDVALIDITY, another folder or label, an import, a cursor that "
        "was set back) will be handled again. Mails that wait and dead letters stay."
    )


def clear(memory: LedgerMemory, before: str | None, *, as_json: bool) -> None:
    """Forget."""
    with words.busy("forget"):
        forgotten = memory.clear(before)
    if as_json:
        words.say_json({"forgotten": forgotten})
    else:
        words.say(f"{forgotten} handled mails are forgotten")


def dashed(month: str) -> str:
    """yyyymm as yyyy-mm."""
    return f"{month[:4]}-{month[4:]}"
