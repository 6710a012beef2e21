"""The verbs for whoever runs it without a service manager, or asks how it is: start, stop, health."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from fastmail_ingest.cli.options import NumberRange, Verb, chosen, config_option, json_option


def pid_file_option(help_text: str) -> Callable[[Verb], Verb]:
    """The option that names a PID file."""
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--pid-file", type=kind, metavar="FILE", help=help_text)


_by_its_pid_file = pid_file_option("Says who is running [default: that of the configuration, with .pid].")


@click.command()
@config_option
@click.option("--procs", metavar="auto|N", help="Worker processes; auto is one for each CPU we may use.")
@_by_its_pid_file
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Its log goes behind what is there [default: that of the configuration, with .log].",
)  # fmt: skip
@click.option(
    "--timeout", type=NumberRange(0.1, 86_400), default=60.0, show_default=True, metavar="S",
    help="Wait so long until it is ready.",
)  # fmt: skip
def start(
    config_path: Path | None, procs: str | None, pid_file: Path | None, log_file: Path | None, timeout: float
) -> None:
    """Start `supervise` in the background and wait until all its processes are at work.

    \b
    Examples:
      fastmail-ingest start
      fastmail-ingest start --config /etc/fastmail-ingest/supervisor.toml

    \b
    Exit code: 0 it is ready, or was running; 3 it is not ready in time, and goes on; if it ended, its own.
    """
    from fastmail_ingest.app.daemon import place  # noqa: PLC0415 - each verb loads its own
    from fastmail_ingest.app.daemon import start as work  # noqa: PLC0415

    config = chosen(config_path)
    words = [*(("--config", str(config)) if config else ()), *(("--procs", procs) if procs else ())]
    plan = work.Start(words, pid_file or place.pid_file(config), log_file or place.log_file(config), timeout)
    sys.exit(work.start(plan))


@click.command()
@config_option
@_by_its_pid_file
@click.option(
    "--timeout", type=NumberRange(0.0, 86_400), metavar="S",
    help="Kill it if it has not stopped by then [default: what it needs at the most by its configuration].",
)  # fmt: skip
def stop(config_path: Path | None, pid_file: Path | None, timeout: float | None) -> None:
    """Stop a supervisor that has a PID file: TERM, a deadline, KILL; nothing of it is left behind.

    The configuration is not read: it may be broken. A process that was given the same PID later is safe.

    \b
    Examples:
      fastmail-ingest stop
      fastmail-ingest stop --timeout 10

    \b
    Exit code: 0 it has stopped, or did not run; 5 it had to be killed.
    """
    from fastmail_ingest.app.daemon import place  # noqa: PLC0415
    from fastmail_ingest.app.daemon import stop as work  # noqa: PLC0415

    sys.exit(work.stop(pid_file or place.pid_file(chosen(config_path)), timeout))


@click.command()
@json_option
@config_option
@click.option("--url", metavar="URL", help="Where it listens [default: by [admin] host and port].")
@click.option(
    "--timeout", type=NumberRange(0.1, 600), default=5.0, show_default=True, metavar="S",
    help="Wait so long for an answer.",
)  # fmt: skip
def health(as_json: bool, config_path: Path | None, url: str | None, timeout: float) -> None:
    """Ask a running supervisor whether all is well, and if not, why and what to do.

    \b
    Examples:
      fastmail-ingest health
      fastmail-ingest health --url http://127.0.0.1:8080 --json

    \b
    Exit code: 0 ready; 1 running, but not ready; 2 nobody answers, or the configuration is wrong.
    """
    from fastmail_ingest.app.daemon import health as work  # noqa: PLC0415
    from fastmail_ingest.config import load  # noqa: PLC0415

    if url is None:
        url = work.url_of(load(chosen(config_path), os.environ, require_accounts=False).admin)
    sys.exit(work.health(url, timeout, as_json=as_json))
