"""The `retries` verbs: failed mails that wait for their next try."""

from pathlib import Path

import click

from fastmail_ingest.cli.options import ask, chosen, config_option, json_option, yes_option


@click.group()
def retries() -> None:
    """The retry schedule: see what waits and until when, and do not wait.

    \b
    Examples:
      fastmail-ingest retries list
      fastmail-ingest retries now --all
    """


@retries.command("list")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Most to show [default: 50; --json: all].")
@json_option
@config_option
def list_(limit: int | None, as_json: bool, config_path: Path | None) -> None:
    """Show the mails that wait for a retry, the soonest first.

    \b
    Example:
      fastmail-ingest retries list --json
    """
    from fastmail_ingest.app.operate import retries as work  # noqa: PLC0415 - heavy; see main

    with work.RetrySchedule.of(chosen(config_path)) as schedule:
        work.list_waiting(schedule, limit, as_json=as_json)


@retries.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that wait.")
@yes_option
@json_option
@config_option
def now(ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, config_path: Path | None) -> None:
    """Give mails to the handler at once instead of when they are due: one attempt of each is used.

    ID is a mail's identity.

    \b
    Examples:
      fastmail-ingest retries now support:INBOX:7:12
      fastmail-ingest retries now --all --yes
    """
    from fastmail_ingest.app.operate import retries as work  # noqa: PLC0415

    if bool(ids) == everything:
        raise click.UsageError("say which mails are meant: IDs, or --all")
    with work.RetrySchedule.of(chosen(config_path)) as schedule:
        if everything and len(schedule):
            ask(f"Give {len(schedule)} mails to the handler now, and use up one attempt of each?", yes=yes)
        work.now(schedule, ids, everything=everything, as_json=as_json)
