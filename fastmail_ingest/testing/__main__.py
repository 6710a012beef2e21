"""`python -m fastmail_ingest.testing`: a long chaos run with a progress bar and a written report."""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fastmail_ingest.testing.conductor import Progress as RunProgress
from fastmail_ingest.testing.plan import Chaos, Mishap
from fastmail_ingest.testing.run import run_chaos
from fastmail_ingest.testing.written import written

_SECONDS_A_KILL = 1.3
_MISHAP_EVERY = 20_000  # mails: each kind of failing handler comes up about so often


def long_chaos(emails: int, kills: int, seed: int, size: int, procs: int) -> Chaos:
    """The schedule of a long run: kills of all kinds, a disturbance for every second one, all mishaps."""
    each = max(1, emails // _MISHAP_EVERY)
    return Chaos(
        emails=emails,
        kills=kills,
        disturbances=kills // 2,
        seed=seed,
        mail_faults=0.01,
        # Kills that come faster than anything can start again would prove less, not more.
        rate=emails / (_SECONDS_A_KILL * kills) if kills else 0.0,
        size=size,
        procs=procs,
        mishaps=dict.fromkeys(Mishap, each),
        mailboxes=min(20, max(2, emails // 50_000)),
        patience_s=60.0,
    )


@click.command()
@click.option("--emails", type=click.IntRange(1), default=20_000, show_default=True, help="How many mails.")
@click.option("--kills", type=click.IntRange(0), default=30, show_default=True, help="How many kill -9.")
@click.option("--seed", type=int, default=1, show_default=True, help="The schedule is drawn from it.")
@click.option("--size", type=click.IntRange(600), default=1000, show_default=True, help="Bytes of a mail.")
@click.option("--procs", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
@click.option("--target", default="noop", show_default=True, help="The handler, module:function.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the report into this file.")
def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    emails: int, kills: int, seed: int, size: int, procs: int, target: str, report: Path | None
) -> None:
    """Kill and disturb everything around a handler, and see that no mail is lost or doubled.

    \b
    Example:
      scripts/chaos --emails 20000 --kills 30 --seed 1
    """
    chaos = long_chaos(emails, kills, seed, size, procs)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("mails handled", total=emails)

        def show(now: RunProgress) -> None:
            bar.update(task, completed=now.handled, description=f"mails handled, {now.actions} actions")

        found = run_chaos(target, chaos, watch=show)
    click.echo(str(found))
    if report is not None:
        report.write_text(written(chaos, found, target))
    sys.exit(0 if found.ok else 1)


if __name__ == "__main__":
    main()
