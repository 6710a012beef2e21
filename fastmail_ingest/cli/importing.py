"""The `import` verb."""

import gc
import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fastmail_ingest.cli.options import Verb, ask, chosen, config_option, json_option, yes_option

_DAY = click.DateTime(["%Y-%m-%d"])
_HISTORY = {
    "mailbox": click.option("--mailbox", default="", metavar="NAME", help="Old mail of this mailbox."),
    "since": click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help="Of it, from this day on."),
    "until": click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="Of it, up to this day."),
    "yes": yes_option,
}  # fmt: skip


def _history_options(verb: Verb) -> Verb:
    """Options for old mail over IMAP; the verb gets them as `history`."""

    @wraps(verb)
    def gathered(**values: Any) -> Any:
        return verb(history={name: values.pop(name) for name in _HISTORY}, **values)

    for option in reversed(_HISTORY.values()):
        gathered = option(gathered)
    return gathered


@click.command("import")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--account", default="", metavar="NAME", help="Whose mails they are [default: the only one].")
@_history_options
@click.option("--restart", is_flag=True, help="Begin anew instead of going on where it stopped.")
@click.option("--dry-run", is_flag=True, help="Count, and import nothing.")
@json_option
@config_option
def import_(  # noqa: PLR0913, PLR0917 - one parameter an option
    paths: tuple[Path, ...],
    account: str,
    history: dict[str, Any],
    restart: bool,
    dry_run: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Import old mail: mbox, .mbox.gz, Google Takeout (folder, .zip, .tgz), Maildir, folders of .eml.

    Or, with --mailbox, what lies in a mailbox: it says what that costs and asks first. All goes into the
    backfill lane, behind live mail. What was handled before is known and not handled again. When it is
    stopped or killed, the same command goes on where it was.

    \b
    Examples:
      fastmail-ingest import archive.mbox
      fastmail-ingest import --account support takeout-20260301.tgz Maildir/ --dry-run
      fastmail-ingest import --account support --mailbox Archive --since 2020-01-01

    \b
    Exit code: 0 all is imported, 1 something could not be read or it was stopped, 3 no Redis or server.
    """
    from fastmail_ingest.config import load  # noqa: PLC0415 - heavy; see main

    _check(paths, history, restart=restart)
    config = load(chosen(config_path), os.environ)
    if paths:
        from fastmail_ingest.app.operate import importing as archives  # noqa: PLC0415

        gc.freeze()  # what is loaded stays: to look through it again and again costs a tenth of the time
        order = archives.ImportOrder(paths, account, restart, dry_run)
        sys.exit(archives.import_archives(config, order, as_json=as_json))
    from fastmail_ingest.app.operate import history as work  # noqa: PLC0415

    since, until = (history[name].date() if history[name] else None for name in ("since", "until"))
    wanted = work.HistoryOrder(history["mailbox"], account, since, until, dry_run)
    sys.exit(work.import_history(config, wanted, lambda text: ask(text, yes=history["yes"]), as_json=as_json))


def _check(paths: tuple[Path, ...], history: dict[str, Any], *, restart: bool) -> None:
    if bool(paths) == bool(history["mailbox"]):
        raise click.UsageError("say what is to be imported: PATHs, or --mailbox NAME")
    if paths and (history["since"] or history["until"]):
        raise click.UsageError("--since and --until go with --mailbox")
    if history["since"] and history["until"] and history["since"] > history["until"]:
        raise click.UsageError("--since is after --until, so no day is meant: exchange them")
    if history["mailbox"] and restart:
        raise click.UsageError("--restart goes with PATHs: of a mailbox all that is unknown is fetched")
