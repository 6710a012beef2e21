"""`status`: how the stream, the accounts and their mailboxes stand."""

import time
from collections.abc import Iterator, Sequence

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.config import Account
from fastmail_ingest.model.standing import AccountStanding, MailboxStanding, StreamStanding
from fastmail_ingest.stream.overview import Overview

__all__ = ["Overview", "show"]

_MB = 1e6


def show(overview: Overview, accounts: Sequence[Account], *, as_json: bool) -> None:
    """Print it."""
    stream, found = overview.stream(), overview.accounts(accounts)
    if as_json:
        words.say_json(msgspec.to_builtins({"stream": stream, "accounts": found}))
        return
    now = time.time()
    words.say(_in_short(stream))
    columns = ("account", "standing", "MB in 24 h", "of", "commands today")
    rows = [_account_row(account, now) for account in found]
    words.console().print(words.table(columns, rows, numbers=columns[2:]))
    for account in found:
        if account.standing != "ok":
            words.say(f"{account.account}: {account.reason}", style="red")
    columns = ("mailbox", "fresh", "last UID", "appended", "quarantined")
    rows = [_mailbox_row(f"{account.account}/{each.mailbox}", each)
            for account in found for each in account.mailboxes]  # fmt: skip
    words.console().print(words.table(columns, rows, numbers=columns[1:]))
    for account in found:
        for each in account.mailboxes:
            if each.refused is not None:
                asked = f"asked {words.duration(max(0.0, now - each.refused.at))} ago"
                said = f"{account.account}/{each.mailbox} is not served ({asked}): {each.refused.reason}"
                words.say(said, style="red")
    for line in _quarantined(found):
        words.say(line)


def _in_short(stream: StreamStanding) -> str:
    counts = (
        f"{stream.to_handle} to handle",
        f"{stream.waiting_for_retry} waiting for a retry",
        f"{stream.dead} dead letters",
    )
    return f"stream: {', '.join(counts)}"


def _account_row(account: AccountStanding, now: float) -> Sequence[object]:
    until = f" for {words.duration(max(0.0, account.until - now))}" if account.standing != "ok" else ""
    limit = account.bytes_allowed
    return (
        account.account, f"{account.standing}{until}", f"{account.bytes_in_24_h / _MB:.1f}",
        f"{limit / _MB:.0f}" if limit else "any", account.commands_today,
    )  # fmt: skip


def _mailbox_row(name: str, mailbox: MailboxStanding) -> Sequence[object]:
    ago_s = mailbox.fresh_s_ago
    fresh = f"{words.duration(max(0.0, ago_s))} ago" if ago_s is not None else "never"
    fresh = f"refused, {fresh}" if mailbox.refused else fresh
    return name, fresh, mailbox.last_uid, mailbox.appended, len(mailbox.quarantined)


def _quarantined(found: Sequence[AccountStanding]) -> Iterator[str]:
    for account in found:
        for mailbox in account.mailboxes:
            for mail in mailbox.quarantined:
                tried = f"tried {mail.tries} times, again {words.moment(mail.again_at)}"
                yield f"{account.account}/{mailbox.mailbox} UID {mail.uid}: {tried}: {mail.reason}"
