"""The verbs `backup` and `restore`."""

import os
import sys
from pathlib import Path

import click

from fastmail_ingest.cli.options import chosen, config_option, json_option


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to [default: [backup] directory].",
)
@click.option(
    "--keep", type=click.IntRange(1, 10_000), metavar="N",
    help="Keep the newest N, once the new one is whole [default: [backup] keep].",
)  # fmt: skip
@click.option(
    "--list", "listing", is_flag=True, help="Show the backups there are, each checked by its checksum."
)
@json_option
@config_option
def backup(
    directory: Path | None, keep: int | None, listing: bool, as_json: bool, config_path: Path | None
) -> None:
    """Copy the stream and the large mails that belong to it, while everything goes on.

    Redis writes a snapshot, which is copied, read to its end by the server's own checker, and put beside
    a manifest with its checksum. A backup is whole or not there, whatever dies in between.

    \b
    Examples:
      fastmail-ingest backup
      fastmail-ingest backup --directory /mnt/backups --keep 30
      fastmail-ingest backup --list

    \b
    Exit code: 0 all is well, 1 no backup could be made or one in the list is damaged, 3 no Redis.
    """
    from fastmail_ingest.app.backup import make, show  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    if listing and keep is not None:
        raise click.UsageError(
            "--keep removes old backups when a new one is made: it does not go with --list"
        )
    config = load(chosen(config_path), os.environ, require_accounts=False)
    place = (directory or Path(config.backup.directory)).absolute()
    if listing:
        sys.exit(show.show_all(place, as_json=as_json))
    show.say_made(make.make(config, place, keep or config.backup.keep), as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Do it: put the backup in place of what is there, which is kept.")
@click.option("--dry-run", is_flag=True, help="Say all that --force would do, and change nothing.")
@json_option
@config_option
def restore(file: Path, force: bool, dry_run: bool, as_json: bool, config_path: Path | None) -> None:
    """Put a backup back, and make it fit to be worked on.

    FILE is a backup's .rdb. It is read to its end first; without --force, nothing is changed, and the steps
    for this configuration are printed. What was done by the time of the backup is not handled again; what
    waited then may have been handled since, and comes with email.attempt above 1.

    \b
    Examples:
      fastmail-ingest restore fastmail-ingest-backups/fastmail-ingest-20261125T031500Z.rdb
      fastmail-ingest restore fastmail-ingest-backups/fastmail-ingest-20261125T031500Z.rdb --dry-run
      fastmail-ingest restore fastmail-ingest-backups/fastmail-ingest-20261125T031500Z.rdb --force

    \b
    Exit code: 0 done, 1 the file is damaged or cannot be put back, 3 fastmail-ingest is still at work.
    """
    from fastmail_ingest.app.backup import restore as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ, require_accounts=False)
    work.restore(config, work.RestoreOrder(file, force, dry_run), as_json=as_json)
