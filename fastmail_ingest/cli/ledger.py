"""The `ledger` verbs: the memory of handled mails."""

import os
from pathlib import Path

import click

from fastmail_ingest.cli.options import ask, chosen, config_option, json_option, month, yes_option


@click.group()
def ledger() -> None:
    """The memory of handled mails, which keeps them from being handled twice.

    \b
    Examples:
      fastmail-ingest ledger show
      fastmail-ingest ledger clear --before 2026-01
    """


@ledger.command()
@json_option
@config_option
def show(as_json: bool, config_path: Path | None) -> None:
    """Show how much is remembered, by month, and what it takes in Redis.

    \b
    Example:
      fastmail-ingest ledger show --json
    """
    from fastmail_ingest.app.operate import ledger as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ, require_accounts=False)
    with work.LedgerMemory.of(config) as memory:
        work.show(memory, config.ledger.keep_days, as_json=as_json)


@ledger.command()
@click.option("--before", type=month, metavar="YYYY-MM", help="Forget the months before this one.")
@click.option("--all", "everything", is_flag=True, help="Forget all months.")
@yes_option
@json_option
@config_option
def clear(before: str | None, everything: bool, yes: bool, as_json: bool, config_path: Path | None) -> None:
    """Forget handled mails, for maintenance. Mails that wait and dead letters stay.

    A mail that is fetched again and is not remembered is handled again.

    \b
    Examples:
      fastmail-ingest ledger clear --before 2026-01
      fastmail-ingest ledger clear --all --yes
    """
    from fastmail_ingest.app.operate import ledger as work  # noqa: PLC0415

    if (before is not None) == everything:
        raise click.UsageError("say what is meant: --before YYYY-MM, or --all")
    with work.LedgerMemory.of(chosen(config_path)) as memory:
        if not yes:
            click.echo(work.consequences(memory, before), err=True)
            ask("Forget them?", yes=False)
        work.clear(memory, before, as_json=as_json)
