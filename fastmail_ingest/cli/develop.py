"""The verbs for whoever writes a handler: a starter, and single mails by hand."""

import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import Literal

import click

from fastmail_ingest.cli.options import chosen, config_option, json_option


@click.command("new-handler")
@click.argument("name", metavar="[NAME]", default="mail_handler")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="D",
    help="Where the files go [default: here].",
)  # fmt: skip
@click.option(
    "--kind", type=click.Choice(["sync", "async", "batch"]), default="sync", show_default=True,
    help="One mail at a time, several at once, or lists of mails.",
)  # fmt: skip
def new_handler(name: str, directory: Path, kind: Literal["sync", "async", "batch"]) -> None:
    """Write a commented handler to start from, its test and a sample mail.

    NAME is the module's [default: mail_handler]. Where there is no supervisor.toml, one is written, too.
    A file that is there is never overwritten.

    \b
    Examples:
      fastmail-ingest new-handler
      fastmail-ingest new-handler shop --kind async --directory shop-mails
    """
    from fastmail_ingest.app.develop import starter  # noqa: PLC0415 - see main

    written = starter.write_starter(name, directory, kind)
    for path in written:
        click.echo(f"wrote {path}")
    if directory / starter.CONFIGURATION not in written:
        click.echo(f'{directory / starter.CONFIGURATION} stays as it is; to use it: target = "{name}:handle"')
    move = f"cd {shlex.quote(str(directory))} && " if directory != Path() else ""
    click.echo("next:")
    if importlib.util.find_spec("pytest") is None:
        click.echo(f"  {move}python -m pip install pytest")
    click.echo(f"  {move}python -m pytest test_{name}.py")
    click.echo(f"  {move}fastmail-ingest replay-eml {name}.eml --handler {name}:handle")


@click.command("replay-eml")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
)  # fmt: skip
@click.option(
    "--handler", "handlers", multiple=True, metavar="MODULE:FUNCTION",
    help="Several make a chain [default: that of the configuration].",
)  # fmt: skip
@click.option("--attempt", type=click.IntRange(1), default=1, metavar="N", help="As if it came the Nth time.")
@click.option(
    "--id", "identity", default="", metavar="ID",
    help="The email.id, as dead show tells it [default: made of the content].",
)  # fmt: skip
@json_option
@config_option
def replay_eml(
    files: tuple[Path, ...],
    handlers: tuple[str, ...],
    attempt: int,
    identity: str,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Give single mails (.eml; - is standard input) to a handler, and see what becomes of them.

    It is called as a worker calls it, startup and shutdown included; only Redis is not asked and nothing is
    remembered. What the handler does, it does in earnest.

    A file does not say which mail of a mailbox it was, so that email.id is made of its content, as that of an
    imported mail. A handler that keeps mails by email.id keeps the mail a second time, but for --id.

    \b
    Examples:
      fastmail-ingest replay-eml mail.eml
      fastmail-ingest replay-eml mail.eml other.eml --handler shop:handle
      fastmail-ingest dead show 1795556573740-0 --eml - | fastmail-ingest replay-eml -
      fastmail-ingest replay-eml mail.eml --id support:INBOX:7:4711

    \b
    Exit code: 0 all are done, 1 one is not, 2 no such file or handler.
    """
    from fastmail_ingest.app.develop import replay  # noqa: PLC0415 - heavy; --help must not pay for it
    from fastmail_ingest.config import load  # noqa: PLC0415

    if identity and len(files) > 1:
        raise click.UsageError("--id is one mail's. remedy: name one FILE")
    path = chosen(config_path)
    config = load(path, os.environ, require_accounts=False)
    order = replay.ReplayOrder(files, handlers, attempt, identity)
    sys.exit(replay.replay(config, path, order, as_json=as_json))
