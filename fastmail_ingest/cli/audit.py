"""The `audit` verb."""

import os
import sys
from pathlib import Path

import click

from fastmail_ingest.cli.options import chosen, config_option, json_option


@click.command()
@click.option("--account", default="", metavar="NAME", help="Only this account.")
@click.option("--mailbox", default="", metavar="NAME", help="Only this mailbox.")
@json_option
@config_option
def audit(account: str, mailbox: str, as_json: bool, config_path: Path | None) -> None:
    """Compare the mail servers with the stream and the ledger: is any mail missing, or there twice?

    Changes nothing, and may run beside a supervisor. A gap is a mail on the server that was passed
    over and that nobody knows; a double is a mail that stands in two places, or waits though it is
    done. Unknown mails that are older than the ledger's memory are counted apart.

    \b
    Examples:
      fastmail-ingest audit
      fastmail-ingest audit --account support --mailbox INBOX --json

    \b
    Exit code: 0 no gap and no double, 1 there are, 3 a server cannot be reached.
    """
    from fastmail_ingest.app.operate.audit_run import audit as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    sys.exit(work(load(chosen(config_path), os.environ), account, mailbox, as_json=as_json))
