"""The `fastmail-ingest` command: its verbs and options; the work is done in `app`."""

import io
import sys
from pathlib import Path
from typing import NoReturn

import click

from fastmail_ingest.cli.audit import audit
from fastmail_ingest.cli.auth import auth
from fastmail_ingest.cli.backup import backup, restore
from fastmail_ingest.cli.config import config
from fastmail_ingest.cli.cursor import cursor
from fastmail_ingest.cli.daemon import health, pid_file_option, start, stop
from fastmail_ingest.cli.dead import dead
from fastmail_ingest.cli.develop import new_handler, replay_eml
from fastmail_ingest.cli.importing import import_
from fastmail_ingest.cli.ledger import ledger
from fastmail_ingest.cli.options import NumberRange, config_option
from fastmail_ingest.cli.retries import retries
from fastmail_ingest.cli.status import status
from fastmail_ingest.errors import FastmailIngestError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="fastmail-ingest")
def cli() -> None:
    """Every mail of your mailboxes reaches your Python handler, whatever crashes.

    \b
    See it work, with a mail server and a Redis of its own:
      fastmail-ingest demo
    Write a handler, and try it on a mail:
      fastmail-ingest new-handler
      fastmail-ingest replay-eml mail.eml
    Run it (write the configuration from what config example prints):
      fastmail-ingest config example
      fastmail-ingest supervise --config supervisor.toml
    Without a service manager: in the background, its end, and whether all is well:
      fastmail-ingest start
      fastmail-ingest stop
      fastmail-ingest health
    How it stands, that no mail is missing, and those that could not be handled:
      fastmail-ingest status
      fastmail-ingest audit
      fastmail-ingest dead list
    """


@cli.command()
@config_option
@click.option("--procs", metavar="auto|N", help="Worker processes; auto is one for each CPU we may use.")
@click.option(
    "--once",
    is_flag=True,
    help="Hand over each mail that is there, then stop; retries wait.",
)
@click.option("--dry-run", is_flag=True, help="Show which mails would be handled; write nothing anywhere.")
@click.option(
    "--reload", is_flag=True,
    help="For development only: when a source of your handler or the configuration changes, do as on HUP.",
)  # fmt: skip
@pid_file_option("Say in this file who is running, for as long as it does.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON object, for scripts.")
def supervise(  # noqa: PLR0913, PLR0917 - one parameter an option
    config_path: Path | None,
    procs: str | None,
    once: bool,
    dry_run: bool,
    reload: bool,
    pid_file: Path | None,
    as_json: bool,
) -> None:
    """Fetch mail and run your handler in a supervised pool of workers.

    \b
    Examples:
      fastmail-ingest supervise --procs auto
      fastmail-ingest supervise --config supervisor.toml --once
      fastmail-ingest supervise --dry-run --json
      fastmail-ingest supervise --procs 1 --reload

    \b
    Signals: TERM or INT (Ctrl-C) drain, once more shortens; QUIT stops now; HUP reloads;
    TTIN and TTOU start and stop one worker; USR1 writes the status to the log.
    """
    from fastmail_ingest.cli import run  # noqa: PLC0415 - heavy; --help must not pay for it

    if reload and (once or dry_run):
        raise click.UsageError("--reload goes with neither --once nor --dry-run")
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run: what a run did is in `status --json`")
    if dry_run:
        sys.exit(run.dry_run(config_path, as_json=as_json))
    sys.exit(run.supervise(config_path, procs, pid_file, once=once, reload=reload))


@cli.command()
@click.option("--once", is_flag=True, help="Handle the sample mailboxes, print the summary, stop.")
@click.option(
    "--rate", type=NumberRange(0.1, 10_000), default=20.0, show_default=True, help="New mails a second."
)
@click.option("--procs", metavar="auto|N", help="Worker processes; auto is one for each CPU we may use.")
def demo(once: bool, rate: float, procs: str | None) -> None:
    """See the whole thing at work: sample mailboxes, a Redis of its own, a live picture.

    \b
    Examples:
      fastmail-ingest demo
      fastmail-ingest demo --rate 500
      fastmail-ingest demo --once
    """
    from fastmail_ingest.cli import run  # noqa: PLC0415

    sys.exit(run.demo(once=once, rate=rate, procs=procs))


@cli.command()
@click.option(
    "--emails", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True, help="How many mails."
)
@click.option("--procs", metavar="auto|N", help="Worker processes; auto is one for each CPU we may use.")
@click.option(
    "--size", default="mixed", show_default=True, metavar="mixed|BYTES", help="mixed has a mean of 18 KB."
)
@click.option(
    "--rate", type=NumberRange(0.1, 100_000), help="Mails a second on a schedule: measures latency."
)
@click.option(
    "--source", type=click.Choice(["imap", "stream"]), default="imap", show_default=True,
    help="imap: the whole way; stream: from a filled stream on, with a handler that does nothing.",
)  # fmt: skip
@click.option(
    "--redis-url",
    metavar="URL",
    help="Measure on this Redis, under a prefix of its own [default: own server].",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def bench(  # noqa: PLR0913, PLR0917 - one parameter an option
    emails: int,
    procs: str | None,
    size: str,
    rate: float | None,
    source: str,
    redis_url: str | None,
    as_json: bool,
) -> None:
    """Measure the whole way from a mail server to settled, on this machine.

    \b
    Examples:
      fastmail-ingest bench --emails 10000
      fastmail-ingest bench --emails 2000 --rate 100
      fastmail-ingest bench --emails 200000 --source stream --size 1500 --json
    """
    from fastmail_ingest.cli import run  # noqa: PLC0415

    options = {"emails": emails, "size": size, "rate": rate, "source": source, "redis_url": redis_url or ""}
    sys.exit(run.bench(options, procs, as_json=as_json))


for verb in (
    status,
    dead,
    retries,
    ledger,
    audit,
    import_,
    auth,
    config,
    cursor,
    new_handler,
    replay_eml,
    backup,
    restore,
    start,
    stop,
    health,
):
    cli.add_command(verb)


def main() -> NoReturn:
    """Run the command; an error of ours is one clear message and its exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a mail has letters that a terminal may not have
    try:
        cli(standalone_mode=True)
    except FastmailIngestError as error:
        # It may quote what a mail server or a mail said.
        words = "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in str(error))
        click.echo(f"fastmail-ingest: {words}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
