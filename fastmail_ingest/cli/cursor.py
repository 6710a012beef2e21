"""The `cursor` verbs: how far each mailbox is taken over."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from fastmail_ingest.cli.options import ask, chosen, config_option, json_option, yes_option


@click.group()
def cursor() -> None:
    """Where we are in each mailbox: see it, read it anew, go back.

    \b
    Examples:
      fastmail-ingest cursor show
      fastmail-ingest cursor rewind support INBOX --since 2026-03-01
      fastmail-ingest cursor reset support INBOX
    """


@contextmanager
def _opened(config_path: Path | None) -> Iterator[tuple[Any, Any, Any]]:
    from fastmail_ingest.app.operate import cursor as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ, require_accounts=False)
    with work.Cursors.of(config) as cursors:
        yield work, config, cursors


@cursor.command()
@click.argument("account", default="")
@click.argument("mailbox", default="")
@json_option
@config_option
def show(account: str, mailbox: str, as_json: bool, config_path: Path | None) -> None:
    """Show how far each mailbox and each import is taken over.

    \b
    Examples:
      fastmail-ingest cursor show
      fastmail-ingest cursor show support --json
    """
    with _opened(config_path) as (work, _, cursors):
        work.show(cursors, work.Target(account, mailbox), as_json=as_json)


@cursor.command()
@click.argument("account")
@click.argument("mailbox", default="")
@yes_option
@json_option
@config_option
def reset(account: str, mailbox: str, yes: bool, as_json: bool, config_path: Path | None) -> None:
    """Forget the cursor of a mailbox, or of all mailboxes of an account: they are read anew.

    It says before how many mails that concerns, and which of them are known and so not handled again.
    A running supervisor notices.

    \b
    Example:
      fastmail-ingest cursor reset support INBOX
    """
    with _opened(config_path) as (work, config, cursors):
        target = work.Target(account, mailbox)
        work.reset(config, cursors, target, lambda text: ask(text, yes=yes), as_json=as_json)


@cursor.command()
@click.argument("account")
@click.argument("mailbox", default="")
@click.option("--to", type=click.IntRange(1, 2**32 - 1), metavar="UID", help="Read again from this UID on.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Read again from this day on."
)
@yes_option
@json_option
@config_option
def rewind(  # noqa: PLR0913, PLR0917 - one parameter an option
    account: str,
    mailbox: str,
    to: int | None,
    since: datetime | None,
    yes: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Put the cursor of a mailbox back, so that mails are read again.

    It says before how many mails that concerns, and which of them are known and so not handled again.
    A running supervisor notices.

    \b
    Examples:
      fastmail-ingest cursor rewind support INBOX --to 4711
      fastmail-ingest cursor rewind support --since 2026-03-01
    """
    if to is not None and since is not None:
        raise click.UsageError("only one of them: --to UID, or --since YYYY-MM-DD")
    if to is None and since is None:
        raise click.UsageError("say how far: --to UID, or --since YYYY-MM-DD")
    with _opened(config_path) as (work, config, cursors):
        work.rewind(
            config, cursors, work.Target(account, mailbox), since.date() if since else to,
            ask=lambda text: ask(text, yes=yes), as_json=as_json,
        )  # fmt: skip
