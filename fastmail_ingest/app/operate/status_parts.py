"""The parts of the screen of `status`, the most important first: what does not fit is left out from below."""

from collections.abc import Iterator, Sequence

from rich.console import ConsoleRenderable
from rich.text import Text

from fastmail_ingest.admin.history import Series
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.looks import Seen
from fastmail_ingest.model.snapshot import ProcessStanding, Rates, ReasonStanding, Snapshot
from fastmail_ingest.model.standing import AccountStanding, MailboxStanding, StreamStanding

_MB = 1e6
_SILENT_S = 5.0  # so long without an answer is told
_WRONG, _BAD, _GOOD, _TITLE = "yellow", "bold red", "bold green", "bold"
_SPARKS_SHOWN = 40


def parts(seen: Seen) -> Iterator[ConsoleRenderable]:
    """All of them; lines are Text, tables are not. No character of a stranger's is obeyed in any."""
    yield from _head(seen)
    if seen.stream is not None:
        yield _line(_in_short(seen.stream))
    if seen.redis.error:
        yield _line(seen.redis.error, _BAD)
    elif seen.redis_silent_s > _SILENT_S:
        yield _line(f"Redis gives no answer for {words.duration(seen.redis_silent_s)}", _BAD)
    if seen.supervisor.snapshot is not None:
        yield from _breakers(seen.supervisor.snapshot)
        yield from _problems(seen.accounts)
        yield _processes(seen.supervisor.snapshot.processes, seen.time)
    else:
        yield from _problems(seen.accounts)
    yield from _tables(seen.accounts, seen.time)
    for account in seen.accounts:
        for mailbox in account.mailboxes:
            yield from _withheld(account.account, mailbox, seen.time)


def _line(text: str, style: str = "") -> Text:
    return Text(words.clean(text), style=style)


# --- the supervisor ------------------------------------------------------------------------------------


def _head(seen: Seen) -> Iterator[Text]:
    found = seen.supervisor
    if found.snapshot is None:
        if found.error:
            yield _line(f"supervisor: {found.error}; only what Redis knows is shown", _WRONG)
        return
    snapshot = found.snapshot
    up = words.duration(max(0.0, seen.time - snapshot.since))
    yield _line(f"fastmail-ingest {snapshot.version} on {snapshot.node}, up {up}", _TITLE)
    if seen.supervisor_silent_s > _SILENT_S:
        yield _line(f"it gives no answer for {words.duration(seen.supervisor_silent_s)}", _BAD)
    if snapshot.ready:
        yield _line("ready", _GOOD)
    else:
        count = len(snapshot.reasons)
        yield _line(f"not ready: {count} reason{'' if count == 1 else 's'}", _BAD)
    for reason in snapshot.reasons:
        yield from _reason(reason, seen.time)
    yield _flow(snapshot.rates, found.history, snapshot.time)
    yield _line(_latency(snapshot.rates))


def _reason(reason: ReasonStanding, now: float) -> Iterator[Text]:
    about = f" {reason.about}" if reason.about else ""
    since = words.duration(max(0.0, now - reason.since))
    yield _line(f"  {reason.name}{about}, for {since}: {reason.message}", _WRONG)
    if reason.remedy:
        yield _line(f"    remedy: {reason.remedy}")


def _flow(rates: Rates, history: Series | None, now: float) -> Text:
    line = _line(
        f"mails/s: {rates.fetched_per_s:,.1f} fetched, {rates.handled_per_s:,.1f} handled, "
        f"{rates.retried_per_s:,.1f} to be retried, {rates.dead_per_s:,.1f} dead"
    )
    shown = _whole_steps(history, now)[-_SPARKS_SHOWN:] if history is not None else []
    if history is not None and shown:
        minutes = words.duration(len(shown) * history.step_s)
        line.append(f"\nhandled in {minutes}: ")
        line.append(words.spark(shown), style="green")
        line.append(f" at most {max(shown):,.1f}/s")
    return line


def _whole_steps(history: Series, now: float) -> list[float]:
    """The last step has just begun: in it, all seems to slow down."""
    return [rate for at, rate in zip(history.time, history.handled_per_s, strict=True)
            if at + history.step_s <= now]  # fmt: skip


def _latency(rates: Rates) -> str:
    def told(value: float | None) -> str:
        return "-" if value is None else f"{value:,.1f} ms"

    new = f"p50 {told(rates.p50_ms)}, p95 {told(rates.p95_ms)}, p99 {told(rates.p99_ms)}"
    return f"from fetched to settled: {new} of new mails; mean of all {told(rates.latency_ms)}"


def _breakers(snapshot: Snapshot) -> Iterator[Text]:
    for breaker in snapshot.breakers:
        if breaker.state != "closed":
            state = breaker.state.replace("_", " ")
            yield _line(f"circuit breaker {breaker.dependency}: {state} in {breaker.processes}", _BAD)


def _processes(found: Sequence[ProcessStanding], now: float) -> ConsoleRenderable:
    # What somebody does is cut and not wrapped: it changes, and no row below shall jump.
    columns = ("process", "pid", "handled", "fetched", "MB", "CPU %", "up", "doing")
    rows = [_process_row(each, now) for each in found]
    table = words.table(columns, rows, numbers=columns[1:-1], cut="doing")
    for column in table.columns[:-1]:
        column.no_wrap = True
    return table


def _process_row(process: ProcessStanding, now: float) -> Sequence[object]:
    return (
        process.role, process.pid, process.handled or "", process.fetched or "",
        "" if process.rss_bytes is None else f"{process.rss_bytes / _MB:.0f}",
        "" if process.cpu is None else f"{process.cpu * words.PERCENT:.0f}",
        words.duration(max(0.0, now - process.since)), process.doing,
    )  # fmt: skip


# --- the stream and the accounts -----------------------------------------------------------------------


def _in_short(stream: StreamStanding) -> str:
    counts = (
        f"{stream.to_handle} to handle",
        f"{stream.waiting_for_retry} waiting for a retry",
        f"{stream.dead} dead letters",
    )
    oldest = [
        f"{lane.lane} {lane.mails}, the oldest for {words.duration(lane.oldest_s)}"
        for lane in stream.lanes
        if lane.mails and lane.oldest_s is not None
    ]
    lanes = f" ({'; '.join(oldest)})" if oldest else ""
    return f"stream: {', '.join(counts)}{lanes}"


def _problems(found: Sequence[AccountStanding]) -> Iterator[Text]:
    for account in found:
        if account.standing != "ok":
            yield _line(f"{account.account}: {account.reason}", _BAD)


def _tables(found: Sequence[AccountStanding], now: float) -> Iterator[ConsoleRenderable]:
    if not found:
        return
    columns = ("account", "standing", "MB in 24 h", "of", "commands today")
    rows = [_account_row(account, now) for account in found]
    yield words.table(columns, rows, numbers=columns[2:])
    columns = ("mailbox", "fresh", "last UID", "appended", "quarantined")
    rows = [_mailbox_row(f"{account.account}/{each.mailbox}", each, now)
            for account in found for each in account.mailboxes]  # fmt: skip
    yield words.table(columns, rows, numbers=columns[1:])


def _account_row(account: AccountStanding, now: float) -> Sequence[object]:
    until = f" for {words.duration(max(0.0, account.until - now))}" if account.standing != "ok" else ""
    limit = account.bytes_allowed
    return (
        account.account, f"{account.standing}{until}", f"{account.bytes_in_24_h / _MB:.1f}",
        f"{limit / _MB:.0f}" if limit else "any", account.commands_today,
    )  # fmt: skip


def _mailbox_row(name: str, mailbox: MailboxStanding, now: float) -> Sequence[object]:
    fresh = f"{words.duration(max(0.0, now - mailbox.fresh_at))} ago" if mailbox.fresh_at else "never"
    fresh = f"refused, {fresh}" if mailbox.refused else fresh
    return name, fresh, mailbox.last_uid, mailbox.appended, len(mailbox.quarantined)


def _withheld(account: str, mailbox: MailboxStanding, now: float) -> Iterator[Text]:
    """What the server does not give out: the mailbox, or mails of it."""
    name = f"{account}/{mailbox.mailbox}"
    if mailbox.refused is not None:
        asked = f"asked {words.duration(max(0.0, now - mailbox.refused.at))} ago"
        yield _line(f"{name} is not served ({asked}): {mailbox.refused.reason}", _BAD)
    for mail in mailbox.quarantined:
        tried = f"tried {mail.tries} times, again {words.moment(mail.again_at)}"
        yield _line(f"{name} UID {mail.uid}: {tried}: {mail.reason}")
