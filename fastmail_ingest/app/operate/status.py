"""`status`: how the stream, the accounts and their mailboxes stand."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.config import Account
from fastmail_ingest.model.account_state import AccountBooks, AccountState
from fastmail_ingest.policy import budget
from fastmail_ingest.stream.overview import MailboxStanding, Overview

__all__ = ["Overview", "show"]

_MB = 1e6


def show(overview: Overview, accounts: Sequence[Account], *, as_json: bool) -> None:
    """Print it."""
    now, census = time.time(), overview.census()
    found = [(account, books, overview.mailboxes(account.name, account.mailboxes, books))
             for account in accounts for books in [overview.account(account.name)]]  # fmt: skip
    if as_json:
        stream = {"to_handle": census.lanes, "waiting_for_retry": census.delayed, "dead": census.dead}
        listed = [_facts(account, books, mailboxes, now) for account, books, mailboxes in found]
        words.say_json({"stream": stream, "accounts": listed})
        return
    words.say(
        f"stream: {census.lanes} to handle, {census.delayed} waiting for a retry, {census.dead} dead letters"
    )
    columns = ("account", "standing", "MB in 24 h", "of", "commands today")
    rows = [_account_row(account, books, now) for account, books, _ in found]
    words.console().print(words.table(columns, rows, numbers=columns[2:]))
    for account, books, _ in found:
        state = _state(account, books, now)
        if state.standing != "ok":
            words.say(f"{account.name}: {state.reason}", style="red")
    columns = ("mailbox", "fresh", "last UID", "appended", "quarantined")
    rows = [_mailbox_row(each, now) for _, _, mailboxes in found for each in mailboxes]
    words.console().print(words.table(columns, rows, numbers=columns[1:]))
    for each in (each for _, _, mailboxes in found for each in mailboxes):
        if each.refused is not None:
            asked = f"asked {words.duration(max(0.0, now - each.refused.at))} ago"
            words.say(f"{each.key} is not served ({asked}): {each.refused.reason}", style="red")
    for line in _quarantined([books for _, books, _ in found], accounts):
        words.say(line)


def _state(account: Account, books: AccountBooks, now: float) -> AccountState:
    """How an account stands; that `daily_bytes` is used up is written nowhere, it follows from the bytes."""
    limit = account.effective_daily_bytes
    wait_s = budget.wait_s(books.bytes_by_hour, limit, now)
    if books.state.standing != "ok" or not wait_s:
        return books.state
    return AccountState("resting", now + wait_s, reason=budget.in_words(books.bytes_by_hour, limit, now))


def _account_row(account: Account, books: AccountBooks, now: float) -> Sequence[object]:
    state = _state(account, books, now)
    until = f" for {words.duration(max(0.0, state.until - now))}" if state.standing != "ok" else ""
    limit = account.effective_daily_bytes
    spent = budget.spent(books.bytes_by_hour, now)
    return (
        account.name, f"{state.standing}{until}", f"{spent / _MB:.1f}",
        f"{limit / _MB:.0f}" if limit else "any", books.commands_today,
    )  # fmt: skip


def _mailbox_row(mailbox: MailboxStanding, now: float) -> Sequence[object]:
    fresh = f"{words.duration(max(0.0, now - mailbox.fresh_at))} ago" if mailbox.fresh_at else "never"
    fresh = f"refused, {fresh}" if mailbox.refused else fresh
    return str(mailbox.key), fresh, mailbox.last_uid, mailbox.appended, mailbox.quarantined


def _quarantined(found: Sequence[AccountBooks], accounts: Sequence[Account]) -> Iterator[str]:
    for account, books in zip(accounts, found, strict=True):
        for mailbox, mails in books.quarantined.items():
            for mail in mails:
                tried = f"tried {mail.tries} times, again {words.moment(mail.again_at)}"
                yield f"{account.name}/{mailbox} UID {mail.uid}: {tried}: {mail.reason}"


def _facts(
    account: Account, books: AccountBooks, mailboxes: Sequence[MailboxStanding], now: float
) -> dict[str, Any]:
    state = msgspec.structs.asdict(_state(account, books, now))
    del state["credentials"]
    return {
        "account": account.name,
        **state,
        "bytes_in_24_h": budget.spent(books.bytes_by_hour, now),
        "bytes_allowed": account.effective_daily_bytes,
        "commands_today": books.commands_today,
        "mailboxes": [
            {
                "mailbox": each.key.mailbox,
                "fresh_s_ago": round(now - each.fresh_at, 3) if each.fresh_at else None,
                "refused": msgspec.structs.asdict(each.refused) if each.refused else None,
                "last_uid": each.last_uid,
                "appended": each.appended,
                "quarantined": [
                    msgspec.structs.asdict(mail) for mail in books.quarantined.get(each.key.mailbox, [])
                ],
            }
            for each in mailboxes
        ],
    }
