"""`audit`: all mailboxes, then the stream itself, then one line that says whether all is well."""

from collections.abc import Iterator, Sequence

import msgspec

from fastmail_ingest.app.credentials import tokens_of
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.audit import MailboxAudit, MailboxAuditor
from fastmail_ingest.config import Account, Config
from fastmail_ingest.errors import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    ConfigError,
    FastmailIngestError,
    MailboxRefused,
    StreamUnavailable,
)
from fastmail_ingest.model.archived import IMPORTS
from fastmail_ingest.model.census import Census
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.inspection import Double, Inspection

_SHOWN = 20
_SHOWN_JSON = 1000


class StreamAudit(msgspec.Struct):
    """What was found in the stream itself."""

    census: Census
    agrees: bool
    doubles: list[Double]
    not_configured: list[str]


class Audit(msgspec.Struct):
    """What was found."""

    mailboxes: list[MailboxAudit]
    stream: StreamAudit

    @property
    def gaps(self) -> int:
        """Mails that were passed over."""
        return sum(mailbox.gaps for mailbox in self.mailboxes)

    @property
    def doubles(self) -> int:
        """Mails that stand twice, each counted once."""
        named = {each.identity for each in self.stream.doubles}
        found = (each for mailbox in self.mailboxes for each in mailbox.findings if each.state == "both")
        named.update(each.identity for each in found)
        return max(len(named), sum(mailbox.doubles for mailbox in self.mailboxes))

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        unreached = sum(bool(mailbox.error) for mailbox in self.mailboxes)
        parts = [self._found(len(self.mailboxes) - unreached)]
        if not self.stream.agrees:
            parts.append("the books do not agree")
        if unreached:
            parts.append(f"{_counted(unreached, 'mailbox', 'mailboxes')} could not be audited")
        return "; ".join(parts)

    def _found(self, audited: int) -> str:
        """What is known of the mailboxes that could be looked at."""
        wrong = [_counted(self.gaps, "gap")] * (self.gaps > 0)
        wrong += [_counted(self.doubles, "double")] * (self.doubles > 0)
        if not audited and not wrong:
            return "nothing is known"
        mails = _counted(sum(mailbox.mails for mailbox in self.mailboxes), "mail")
        old = sum(mailbox.beyond_memory for mailbox in self.mailboxes)
        unjudged = f", {old} of them older than the memory and not judged" if old else ""
        where = f"{mails} of {_counted(audited, 'mailbox', 'mailboxes')}{unjudged}"
        return f"{', '.join(wrong) or 'no gap, no double'} in {where}"

    @property
    def exit_code(self) -> int:
        """What is known to be wrong comes before what could not be looked at."""
        if self.gaps or self.doubles or not self.stream.agrees:
            return EXIT_FAILURE
        return EXIT_UNAVAILABLE if any(mailbox.error for mailbox in self.mailboxes) else EXIT_OK


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def audit(config: Config, account: str, mailbox: str, *, as_json: bool) -> int:
    """Audit all that is configured, or only this account or mailbox; print it, and return the exit code."""
    meant = _meant(config, account, mailbox)
    with Inspection.of(config) as inspection:
        found = Audit(list(_mailboxes(config, meant, inspection)), _stream(config, inspection))
    if as_json:
        _say_json(found)
    else:
        _say(found)
    return found.exit_code


def _meant(config: Config, account: str, mailbox: str) -> list[tuple[Account, list[str]]]:
    meant = [
        (each, [name for name in each.mailboxes if mailbox in {"", name}])
        for each in config.accounts
        if account in {"", each.name}
    ]
    if not any(names for _, names in meant):
        known = [str(MailboxKey(each.name, name)) for each in config.accounts for name in each.mailboxes]
        raise ConfigError(f"no such mailbox is configured. remedy: one of {', '.join(known)}")
    return meant


def _mailboxes(
    config: Config, meant: Sequence[tuple[Account, list[str]]], inspection: Inspection
) -> Iterator[MailboxAudit]:
    auditor = MailboxAuditor(inspection, config.ledger.keep_days)
    for account, names in meant:
        source: Connection | None = None
        for name in names:
            key = MailboxKey(account.name, name)
            try:
                source = source or _connected(config, account)
                yield auditor.run(source, key)
            except StreamUnavailable:
                raise
            except FastmailIngestError as error:
                yield MailboxAudit(account.name, name, error=str(error))
                if source is not None and not isinstance(error, MailboxRefused):
                    source.close()
                    source = None
        if source is not None:
            source.close()


def _connected(config: Config, account: Account) -> Connection:
    section = config.producer
    return Connection(account, section.timeout, section.max_mail, tokens_of(account))


def _stream(config: Config, inspection: Inspection) -> StreamAudit:
    census = inspection.census()
    with words.busy("look for doubles in the stream"):
        doubles = list(inspection.doubles())
    # Once more: an entry of another program is in no book until a worker has seen it.
    census = census if census.agrees else inspection.census()
    configured = {f"{each.name}:{mailbox}" for each in config.accounts for mailbox in each.mailboxes}
    not_configured = [
        name
        for name in inspection.followed()
        if name not in configured and not name.partition(":")[2].startswith(IMPORTS)
    ]
    return StreamAudit(census, census.agrees, doubles, not_configured)


def _say(found: Audit) -> None:
    columns = ("mailbox", "mails", "done", "queued", "to fetch", "beyond memory", "gaps", "doubles")
    words.console().print(words.table(columns, map(_row, found.mailboxes), numbers=columns[1:]))
    for mailbox in found.mailboxes:
        if mailbox.error:
            words.say(mailbox.error, "red")
        for each in mailbox.findings[:_SHOWN]:
            what = "double, queued and done" if each.state == "both" else "gap, behind the cursor and unknown"
            words.say(f"UID {each.uid} {each.identity}: {what}", "red")
        if (more := mailbox.gaps + mailbox.doubles - _SHOWN) > 0:
            words.say(f"... and {more} more in {mailbox.account}/{mailbox.mailbox}", "red")
    for double in found.stream.doubles[:_SHOWN]:
        where = ", ".join(map(str, double.places)) or "queued, though it is done"
        words.say(f"{double.identity}: double, stands in {where}", "red")
    census = found.stream.census
    dead = _counted(census.dead, "dead letter")
    places = f"{census.lanes} to handle, {census.delayed} waiting for a retry, {dead}"
    words.say(f"stream, with all mailboxes and imports: {_counted(census.queued, 'mail')} not done: {places}")
    if not found.stream.agrees:
        words.say("the books do not agree: a running supervisor mends them within a minute", "red")
    if found.stream.not_configured:
        words.say(f"not configured, but once followed: {', '.join(found.stream.not_configured)}")
    words.say(found.verdict, "bold green" if found.exit_code == EXIT_OK else "bold red")


def _row(found: MailboxAudit) -> Sequence[object]:
    name = f"{found.account}/{found.mailbox}"
    if found.error:
        return name, *["?"] * 7
    counts = (found.mails, found.done, found.queued, found.to_fetch, found.beyond_memory)
    return name, *counts, found.gaps, found.doubles


def _say_json(found: Audit) -> None:
    mailboxes = [
        msgspec.to_builtins(each) | {"findings": msgspec.to_builtins(each.findings[:_SHOWN_JSON])}
        for each in found.mailboxes
    ]
    stream = msgspec.to_builtins(found.stream) | {"census": found.stream.census._asdict()}
    stream["doubles"] = stream["doubles"][:_SHOWN_JSON]
    verdict = {"gaps": found.gaps, "doubles": found.doubles, "verdict": found.verdict}
    words.say_json({**verdict, "mailboxes": mailboxes, "stream": stream})
