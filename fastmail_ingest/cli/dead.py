"""The `dead` verbs: mails that the handler is not given again unless an operator says so."""

from pathlib import Path
from typing import Any

import click

from fastmail_ingest.cli.options import (
    NumberRange,
    ask,
    chosen,
    config_option,
    filter_options,
    json_option,
    yes_option,
)


@click.group()
def dead() -> None:
    """Dead letters: see them, give them to the handler again, remove them.

    \b
    A letter is named by its own id (1795556573740-0) or by the identity of its mail
    (support:INBOX:7:12), as `dead list` shows them.

    \b
    Examples:
      fastmail-ingest dead list --reason retries_exhausted --since 2h
      fastmail-ingest dead show 1795556573740-0
      fastmail-ingest dead replay --error TimeoutError --rate 10
    """


@dead.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Most to show [default: 50; --json: all].")
@json_option
@config_option
def list_(wanted: dict[str, Any], limit: int | None, as_json: bool, config_path: Path | None) -> None:
    """Show dead letters, the newest first.

    \b
    Examples:
      fastmail-ingest dead list
      fastmail-ingest dead list --account support --error KeyError --limit 200
      fastmail-ingest dead list --since 1d --json
    """
    from fastmail_ingest.app.operate import dead as work  # noqa: PLC0415 - heavy; --help must not pay for it

    with work.DeadLetters.of(chosen(config_path)) as letters:
        work.list_letters(letters, work.LetterFilter(**wanted), limit, as_json=as_json)


@dead.command()
@click.argument("name", metavar="ID")
@click.option("--raw", is_flag=True, help="The mail's source, made safe to look at.")
@click.option(
    "--eml", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
    help="Write the mail, byte for byte, into a new file that only you may read; - is standard output.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@json_option
@config_option
def show(
    name: str, raw: bool, eml: Path | None, force: bool, as_json: bool, config_path: Path | None
) -> None:
    """Show one dead letter: why it died, its history, the traceback, the mail.

    \b
    Examples:
      fastmail-ingest dead show 1795556573740-0
      fastmail-ingest dead show support:INBOX:7:12 --eml mail.eml
    """
    from fastmail_ingest.app.operate import dead as work  # noqa: PLC0415

    if raw + (eml is not None) + as_json > 1:
        raise click.UsageError("--raw, --eml and --json exclude each other")
    with work.DeadLetters.of(chosen(config_path)) as letters:
        if eml is not None:
            work.save(letters, name, eml, force=force)
        elif raw:
            work.show_source(letters, name)
        else:
            work.show_letter(letters, name, as_json=as_json)


@dead.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@filter_options
@click.option("--rate", type=NumberRange(0.01, 100_000), metavar="N", help="At most so many mails a second.")
@yes_option
@json_option
@config_option
def replay(  # noqa: PLR0913, PLR0917 - one parameter an option
    ids: tuple[str, ...],
    everything: bool,
    wanted: dict[str, Any],
    rate: float | None,
    yes: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Give dead letters to the handler once more.

    The handler sees them with attempt > 1. What fails again is retried by the usual rules, and is
    a dead letter again after that.

    \b
    Examples:
      fastmail-ingest dead replay 1795556573740-0
      fastmail-ingest dead replay --reason retries_exhausted --since 6h --rate 20
      fastmail-ingest dead replay --all --yes
    """
    from fastmail_ingest.app.operate import dead as work  # noqa: PLC0415

    if (bool(ids) + everything + bool(wanted)) != 1:
        raise click.UsageError("say which dead letters are meant: IDs, or --all, or some of the filters")
    with work.DeadLetters.of(chosen(config_path)) as letters:
        which = list(ids) or work.LetterFilter(**wanted)
        count = len(letters.resolve(ids)) if ids else letters.count(work.LetterFilter(**wanted))
        if not ids and count:
            ask(f"Give {count} of {len(letters)} dead letters to the handler again?", yes=yes)
        replayed = work.replay(letters, which, count, rate) if count else 0
        work.say_changed("replayed", replayed, count, as_json=as_json)


@dead.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@json_option
@config_option
def remove(ids: tuple[str, ...], yes: bool, as_json: bool, config_path: Path | None) -> None:
    """Remove dead letters for good. Their mails count as done: they do not come again.

    \b
    Example:
      fastmail-ingest dead remove 1795556573740-0
    """
    from fastmail_ingest.app.operate import dead as work  # noqa: PLC0415

    with work.DeadLetters.of(chosen(config_path)) as letters:
        count = len(letters.resolve(ids))
        ask(f"Remove {count} dead letters for good, without handling them?", yes=yes)
        work.say_changed("removed", letters.remove(ids), count, as_json=as_json)


@dead.command()
@filter_options
@yes_option
@json_option
@config_option
def clear(wanted: dict[str, Any], yes: bool, as_json: bool, config_path: Path | None) -> None:
    """Remove all dead letters for good, or those that the filters mean.

    \b
    Examples:
      fastmail-ingest dead clear --older 30d
      fastmail-ingest dead clear --reason rejected --yes
    """
    from fastmail_ingest.app.operate import dead as work  # noqa: PLC0415

    with work.DeadLetters.of(chosen(config_path)) as letters:
        meant = work.LetterFilter(**wanted)
        count = letters.count(meant)
        if count:
            question = f"Remove {count} of {len(letters)} dead letters for good, without handling them?"
            ask(question, yes=yes)
        removed = work.clear(letters, meant, count) if count else 0
        work.say_changed("removed", removed, count, as_json=as_json)
