"""The `status` verb."""

import os
import sys
from pathlib import Path

import click

from fastmail_ingest.cli.options import NumberRange, chosen, config_option, json_option


@click.command()
@click.option("--watch", is_flag=True, help="Show it again and again, until q or Ctrl-C.")
@click.option(
    "--interval",
    type=NumberRange(0.2, 3600),
    metavar="S",
    help="With --watch: look every S seconds [default: 2].",
)
@json_option
@config_option
def status(watch: bool, interval: float | None, as_json: bool, config_path: Path | None) -> None:
    """Show how the stream, the accounts and their mailboxes stand, and what a running supervisor does.

    The first comes from Redis, the latter over HTTP from the address in [admin]: whether it is ready, and if
    not, why and what to do; rates, latencies, and each process. Without it, one line says so.

    An account is ok, resting (its provider's limits, until when) or suspended (a human must act: the reason
    says what). A mailbox is fresh since it was last proved to be read to its end.

    --json prints one object; with --watch, one a line.

    \b
    Examples:
      fastmail-ingest status
      fastmail-ingest status --watch --interval 5
      fastmail-ingest status --json

    \b
    Exit code: 0 it is shown, whether all is well or not (`health` tells that by its code); 3 no Redis.
    """
    from fastmail_ingest.config import load  # noqa: PLC0415 - heavy; see main

    if interval is not None and not watch:
        raise click.UsageError("--interval goes with --watch")
    config = load(chosen(config_path), os.environ, require_accounts=False)
    if watch:
        from fastmail_ingest.app.operate import status_watch  # noqa: PLC0415 - each verb loads its own

        sys.exit(status_watch.watch(config, interval or 2.0, as_json=as_json))
    from fastmail_ingest.app.operate import status as work  # noqa: PLC0415

    work.show(config, as_json=as_json)
