"""The `status` verb."""

import os
from pathlib import Path

import click

from fastmail_ingest.cli.options import chosen, config_option, json_option


@click.command()
@json_option
@config_option
def status(as_json: bool, config_path: Path | None) -> None:
    """Show how the stream, the accounts and their mailboxes stand.

    An account is ok, resting (its provider's limits, until when) or suspended (a human must act: the reason
    says what). A mailbox is fresh since it was last proved to be read to its end.

    \b
    Examples:
      fastmail-ingest status
      fastmail-ingest status --json
    """
    from fastmail_ingest.app.operate import status as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ, require_accounts=False)
    with work.Overview.of(config) as overview:
        work.show(overview, config.accounts, as_json=as_json)
