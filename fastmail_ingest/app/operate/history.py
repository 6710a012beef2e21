"""`import --mailbox NAME`: old mail over IMAP into the backfill lane, after saying what that costs."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec

from fastmail_ingest.app.credentials import tokens_of
from fastmail_ingest.app.fingerprint import fingerprint
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.importing import account_of, large_mails, marks_of
from fastmail_ingest.app.operate.picture import Picture, picture
from fastmail_ingest.app.operate.stopping import stopping
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Account, Config
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK, FastmailIngestError, MailboxRefused
from fastmail_ingest.model.archived import import_key
from fastmail_ingest.model.identity import identify
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.history import BUDGET_SHARE, UIDS_MAX, History, HistoryPlan, Surroundings
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy import uidplan
from fastmail_ingest.source.history import HistoryConnection, Scattered
from fastmail_ingest.source.large import Large
from fastmail_ingest.stream.inspection import Inspection

_SAMPLE = 5000  # mails whose size is asked for; of more than that some are drawn


class HistoryOrder(msgspec.Struct, frozen=True):
    """What is asked for: mails that came from `since` to `until`, both included; None is without limit."""

    mailbox: str
    account: str = ""
    since: date | None = None
    until: date | None = None
    dry_run: bool = False

    @property
    def span(self) -> str:
        """The days that are meant, in words."""
        return f"{self.since or 'the beginning'} to {self.until or 'now'}"


class Estimate(msgspec.Struct, frozen=True):
    """What it costs: `known` of the `mails` need not be fetched. `size` is in bytes, and so is `daily_bytes`,
    what a backfill may fetch a day; 0 if no limit is known.
    """

    mails: int
    known: int
    size: int
    exact: bool
    daily_bytes: int

    @property
    def to_fetch(self) -> int:
        """Mails that are to be fetched."""
        return self.mails - self.known

    @property
    def days(self) -> float:
        """Days it takes at the limit of the account; 0.0 if it has none."""
        return self.size / self.daily_bytes if self.daily_bytes else 0.0


class HistoryReport(msgspec.Struct):
    """What came of it."""

    fetched: int = 0
    new: int = 0
    size: int = 0
    done: int = 0  # mails that are done with, those included that were gone meanwhile
    stopped: bool = False
    problems: list[str] = []


def import_history(config: Config, order: HistoryOrder, ask: Callable[[str], None], *, as_json: bool) -> int:
    """Say what it costs, `ask`, and do it; print what came of it, and return the exit code."""
    account = account_of(config, order.account)
    with Inspection.of(config) as inspection:
        with words.busy(f"look at what is in {account.name}/{order.mailbox}"):
            plan, estimate = _look(config, account, order, inspection)
        if order.dry_run:
            _say_estimate(order, account, estimate, as_json=as_json)
            return EXIT_OK
        report = HistoryReport()
        if estimate.to_fetch:
            large_mails(config)
            ask(f"{in_words(order, account, estimate)}\nFetch them?")
            with stopping() as stopper, picture("import", estimate.size) as shown:
                _run(config, account, order, (plan, inspection, report), (stopper, shown))
    _say(order, account, estimate, report, as_json=as_json)
    return EXIT_FAILURE if report.stopped or report.problems else EXIT_OK


def connecting(config: Config, account: Account) -> Callable[[], HistoryConnection]:
    """How to connect to an account, to look back."""
    section, tokens = config.producer, tokens_of(account)
    large = Large(config.blobs.inline_limit, BlobDirectory(Path(config.blobs.directory)))
    return lambda: HistoryConnection(account, section.timeout, section.max_mail, tokens, large)


# --- what it costs -------------------------------------------------------------------------------------


def _look(
    config: Config, account: Account, order: HistoryOrder, inspection: Inspection
) -> tuple[HistoryPlan, Estimate]:
    key = MailboxKey(account.name, order.mailbox)
    with closing(connecting(config, account)()) as source:
        state = source.examine(order.mailbox)
        if not state.sticky:
            raise MailboxRefused(
                f"{key}: its UIDs do not outlive a session (UIDNOTSTICKY, RFC 4315 2), so what is imported "
                'could not be told from live mail. remedy: follow it with start = "all"'
            )
        # The names that live mail gets there: so what was handled is known, and what is fetched will be.
        validity = uidplan.start(inspection.cursor(key), state).uid_validity
        found = source.uids_between(order.since, order.until, state.uid_next)
        unknown: list[int] = []
        for part in _parts(found):
            named = {
                identify(
                    account.name, order.mailbox, validity, mail.uid,
                    gm_msgid=mail.gm_msgid, email_id=mail.email_id,
                ): mail.uid
                for mail in source.names(Scattered.of(part))
            }  # fmt: skip
            states = inspection.states(list(named))
            unknown += [uid for uid, state in zip(named.values(), states, strict=True) if state == "unknown"]
        size = _size(source, unknown)
    estimate = Estimate(
        len(found), len(found) - len(unknown), size, len(unknown) <= _SAMPLE, _daily_bytes(account)
    )
    return HistoryPlan(key, validity, unknown), estimate


def _daily_bytes(account: Account) -> int:
    return int(account.effective_daily_bytes * BUDGET_SHARE)


def _size(source: HistoryConnection, uids: Sequence[int]) -> int:
    """The bytes of these mails; an estimate if there are many."""
    if len(uids) <= _SAMPLE:
        sample: Sequence[int] = uids
    else:
        sample = sorted(random.sample(uids, _SAMPLE))
    sizes = [size for part in _parts(sample) for size in source.sizes(Scattered.of(part))]
    return round(sum(sizes) / len(sizes) * len(uids)) if sizes else 0


def _parts(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), UIDS_MAX):
        yield uids[start : start + UIDS_MAX]


def in_words(order: HistoryOrder, account: Account, estimate: Estimate) -> str:
    """What it costs, to be said before."""
    about = "" if estimate.exact else "about "
    text = (
        f"{account.name}/{order.mailbox}, {order.span}: {estimate.mails} mails, {estimate.known} known. "
        f"{estimate.to_fetch} mails with {about}{estimate.size / 1e6:.1f} MB are to be fetched."
    )
    if estimate.daily_bytes:
        rate = f"{estimate.daily_bytes / 1e6:.0f} MB a day, which leaves some for live mail,"
        text += f" At {rate} that takes {estimate.days:.1f} days."
    return text


# --- doing it ------------------------------------------------------------------------------------------


def _run(
    config: Config,
    account: Account,
    order: HistoryOrder,
    what: tuple[HistoryPlan, Inspection, HistoryReport],
    hands: tuple[Stopper, Picture],
) -> None:
    plan, inspection, report = what
    stopper, shown = hands

    def progress(mails: int, size: int) -> None:
        report.done += mails
        report.size += size
        shown.show(report.size, f"{report.done} of {len(plan.uids)} mails, {report.new} new")

    terms = Terms(1, _daily_bytes(account), lambda: fingerprint(account))
    around = Surroundings(
        connect=connecting(config, account), chosen=Scattered.of,
        gate=Gate(account.name, inspection.ledger.accounts, terms, Ramp()),
        progress=progress, problem=report.problems.append, waiting=shown.wait,
    )  # fmt: skip
    transfer = _transfer(config, order, plan, inspection, report, stopper)
    try:
        History(plan, transfer, stopper, around).run()
    except Stopped:
        report.stopped = True
    except FastmailIngestError as error:
        report.problems.append(str(error))


def _transfer(
    config: Config,
    order: HistoryOrder,
    plan: HistoryPlan,
    inspection: Inspection,
    report: HistoryReport,
    stopper: Stopper,
) -> Transfer:
    section = config.producer
    span = f"{plan.key.mailbox}:{order.since or ''}..{order.until or ''}"
    position = import_key(plan.key.account, span)
    how = TransferPlan(section.append_max, section.append_bytes, marks_of(config), Lane.BACKFILL, position)

    def fetched(mails: int, _size: int) -> None:
        report.fetched += mails

    def appended(mails: int) -> None:
        report.new += mails

    tally = Tally(lambda: None, fetched, appended, report.problems.append)
    return Transfer(inspection.ledger, how, stopper, tally, Outage())


# --- saying it -----------------------------------------------------------------------------------------


def _facts(estimate: Estimate) -> dict[str, object]:
    return msgspec.structs.asdict(estimate) | {"to_fetch": estimate.to_fetch, "days": round(estimate.days, 2)}


def _say_estimate(order: HistoryOrder, account: Account, estimate: Estimate, *, as_json: bool) -> None:
    if as_json:
        words.say_json({"estimate": _facts(estimate), "dry_run": True})
    else:
        words.say(f"dry run, nothing is imported. {in_words(order, account, estimate)}")


def _say(
    order: HistoryOrder, account: Account, estimate: Estimate, report: HistoryReport, *, as_json: bool
) -> None:
    if as_json:
        words.say_json({"estimate": _facts(estimate), "dry_run": False} | msgspec.to_builtins(report))
        return
    for problem in report.problems:
        words.say(problem, "red")
    words.say(
        f"{account.name}/{order.mailbox}, {order.span}: {report.fetched} mails fetched, "
        f"{report.size / 1e6:.1f} MB, {report.new} of them new; {estimate.known} were known before"
    )
    if report.stopped or report.problems:
        words.say("not all is imported. remedy: the same command goes on from there", "yellow")
