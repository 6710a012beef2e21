"""The `import` verb."""

import os
import sys
from pathlib import Path

import click

from fastmail_ingest.cli.options import chosen, config_option, json_option


@click.command("import")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--account", default="", metavar="NAME", help="Whose mails they are [default: the only account]."
)
@click.option("--restart", is_flag=True, help="Begin anew instead of going on where it stopped.")
@click.option("--dry-run", is_flag=True, help="Count, and import nothing.")
@json_option
@config_option
def import_(
    paths: tuple[Path, ...],
    account: str,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Import old mail: mbox, .mbox.gz, Google Takeout (folder, .zip, .tgz), Maildir, folders of .eml.

    It goes into the backfill lane, behind all live mail. What was handled before, also over IMAP, is known
    and not handled again. When it is stopped or killed, the same command goes on where it was.

    \b
    Examples:
      fastmail-ingest import archive.mbox
      fastmail-ingest import --account support takeout-20260301.tgz Maildir/ --dry-run

    \b
    Exit code: 0 all is imported, 1 something could not be read or it was stopped, 3 no Redis.
    """
    from fastmail_ingest.app.operate import importing as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    if not paths:
        raise click.UsageError("say what is to be imported: PATHs")
    order = work.ImportOrder(paths, account, restart, dry_run)
    sys.exit(work.import_archives(load(chosen(config_path), os.environ), order, as_json=as_json))
