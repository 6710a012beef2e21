"""`import PATH...`: archives of mail into the backfill lane, with a picture of how it goes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.picture import picture
from fastmail_ingest.app.operate.stopping import stopping
from fastmail_ingest.archive.archives import Archive
from fastmail_ingest.archive.find import find
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.config import Account, Config
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK, ArchiveError, ConfigError, FastmailIngestError
from fastmail_ingest.model.archived import import_key
from fastmail_ingest.pipeline.importer import ImportCounts, Importer, ImportPlan
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.room import Room, backfill_marks
from fastmail_ingest.pipeline.stopper import Stopped, Stopper
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.stream.cursors import Cursors, StoredCursor

_PROBLEMS_SHOWN = 20


class ImportOrder(msgspec.Struct, frozen=True):
    """What is asked for."""

    paths: Sequence[Path]
    account: str = ""
    restart: bool = False
    dry_run: bool = False


class ImportReport(msgspec.Struct):
    """What came of it."""

    account: str
    archives: int = 0
    counts: ImportCounts = msgspec.field(default_factory=ImportCounts)
    ignored: int = 0  # files in the archives that are no mail
    seconds: float = 0.0
    stopped: bool = False
    problem_count: int = 0
    problems: list[str] = []
    notes: list[str] = []  # on archives out of which nothing came

    def problem(self, text: str) -> None:
        """Note what could not be read."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_SHOWN:
            self.problems.append(text)

    def note(self, text: str) -> None:
        """Note why nothing came out of an archive that could be read."""
        if len(self.notes) < _PROBLEMS_SHOWN:
            self.notes.append(text)

    @property
    def exit_code(self) -> int:
        """1 if anything could not be read, or the end was not reached."""
        return EXIT_FAILURE if self.problem_count or self.stopped else EXIT_OK


def account_of(config: Config, name: str) -> Account:
    """The account that is meant; raises ConfigError with the names there are."""
    names = ", ".join(account.name for account in config.accounts)
    if not name and len(config.accounts) == 1:
        return config.accounts[0]
    if not name:
        raise ConfigError(f"whose mails are they? remedy: --account with one of {names}")
    for account in config.accounts:
        if account.name == name:
            return account
    raise ConfigError(f"--account: there is no account {name!r}. remedy: one of {names}")


def marks_of(config: Config) -> Marks:
    """The marks above which a backfill pauses."""
    section = config.producer
    return backfill_marks(Marks(section.high_water, section.high_water_bytes, section.redis_memory))


def large_mails(config: Config) -> BlobDirectory:
    """Where the bytes of large mails go. Raises ConfigError if nothing can be written there."""
    made = BlobDirectory(Path(config.blobs.directory))
    made.prepare()
    return made


def import_archives(config: Config, order: ImportOrder, *, as_json: bool) -> int:
    """Import what the paths name; print what came of it, and return the exit code."""
    report = ImportReport(account_of(config, order.account).name)
    found: list[Archive] = []
    for path in order.paths:
        try:
            found += find(path, report.problem)
        except ArchiveError as error:
            report.problem(str(error))
    report.archives = len(found)
    begun = time.monotonic()
    with stopping() as stopper, picture("import", sum(archive.size for archive in found)) as shown:

        def show(counts: ImportCounts) -> None:
            shown.show(sum(archive.done for archive in found), _words(counts))

        if order.dry_run:
            _read_all(config, found, report, stopper, show)
        elif found:
            _import_all(config, order, found, report, (stopper, show, shown.wait))
    report.seconds = time.monotonic() - begun
    report.ignored = sum(archive.ignored for archive in found)
    _say(report, order, as_json=as_json)
    return report.exit_code


Show = Callable[[ImportCounts], None]
Wait = Callable[[str], None]


def _import_all(
    config: Config,
    order: ImportOrder,
    found: Sequence[Archive],
    report: ImportReport,
    hands: tuple[Stopper, Show, Wait],
) -> None:
    stopper, show, wait = hands
    section = config.producer
    plan = ImportPlan(
        report.account, section.append_max, section.append_bytes, section.max_mail,
        config.blobs.inline_limit, order.restart,
    )  # fmt: skip
    with Cursors.of(config) as cursors:
        room = Room(cursors.ledger, marks_of(config), stopper, Outage())
        room.waiting = wait
        sink = large_mails(config)
        importer = Importer(cursors.ledger, plan, room, sink, lambda: show(importer.counts))
        counts = report.counts = importer.counts

        def run(archive: Archive) -> None:
            before = counts.read
            importer.run(archive)
            if counts.read == before:
                key = import_key(report.account, archive.fingerprint)
                report.note(_why_nothing(archive, cursors.one(key)))

        _each(found, report, run)


def _why_nothing(archive: Archive, stored: StoredCursor) -> str:
    if not stored.cursor.last_uid:
        return f"{archive.name}: there is no mail in it"
    when = f" ({words.moment(stored.moved_at)} UTC)" if stored.moved_at else ""
    return f"{archive.name}: it was read to its end before{when}; --restart reads it anew"


def _read_all(
    config: Config, found: Sequence[Archive], report: ImportReport, stopper: Stopper, show: Show
) -> None:
    """Read as an import would, and hand nothing over."""

    def read(archive: Archive) -> None:
        for mail in archive.mails(0, config.producer.max_mail):
            report.counts.count(mail)
            if not report.counts.read % config.producer.append_max:
                stopper.check()
                show(report.counts)

    _each(found, report, read)


def _each(found: Sequence[Archive], report: ImportReport, run: Callable[[Archive], None]) -> None:
    """One archive after the other: a broken one harms none of the others."""
    for archive in found:
        try:
            run(archive)
        except FastmailIngestError as error:
            report.problem(str(error))
        except Stopped:
            report.stopped = True
            return


def _words(counts: ImportCounts) -> str:
    return f"{counts.read} mails: {counts.new} new, {counts.known} known, {counts.too_large} too large"


def _say(report: ImportReport, order: ImportOrder, *, as_json: bool) -> None:
    counts = report.counts
    rate = counts.read / report.seconds if report.seconds else 0.0
    if as_json:
        facts = msgspec.to_builtins(report) | {"dry_run": order.dry_run, "mails_per_s": round(rate, 1)}
        words.say_json(facts.pop("counts") | facts)
        return
    for problem in report.problems:
        words.say(problem, "red")
    for note in report.notes:
        words.say(note)
    if (more := report.problem_count - len(report.problems)) > 0:
        words.say(f"... and {more} more that could not be read", "red")
    took = f"{words.duration(report.seconds)} ({rate:.0f} mails/s)"
    what = f"{counts.read} mails, {counts.size / 1e6:.1f} MB in {took}"
    if order.dry_run:
        words.say(f"dry run, nothing is imported: {what}; {counts.too_large} too large")
    else:
        words.say(f"{what}: {counts.new} new, {counts.known} known, {counts.too_large} of them too large")
    if report.ignored:
        words.say(f"{report.ignored} files in the archives are no mail")
    if report.stopped:
        words.say("stopped before the end. remedy: the same command goes on from there", "yellow")
