"""The `auth` verbs: the permission to read a mailbox by OAuth2."""

import os
import sys
from pathlib import Path

import click

from fastmail_ingest.cli.options import ask, chosen, config_option, json_option, yes_option


@click.group()
def auth() -> None:
    """OAuth2: get the permission to read a mailbox, see how it stands, renew it, give it back.

    ACCOUNT is the name of an account in the configuration. docs/OAUTH2_SETUP.md leads through all of it.

    \b
    Examples:
      fastmail-ingest auth setup work
      fastmail-ingest auth info work --json
    """


@auth.command()
@click.argument("account", metavar="ACCOUNT")
@click.option("--no-browser", is_flag=True, help="Google: show the address, and take the answer by paste.")
@click.option("--no-check", is_flag=True, help="Do not log in to the mail server afterwards.")
@config_option
def setup(account: str, no_browser: bool, no_check: bool, config_path: Path | None) -> None:
    """Ask the user of ACCOUNT for the permission, and keep it in the token file.

    For Google a browser is opened on this machine. On a server without one, --no-browser shows an
    address for a browser elsewhere; the address that this one ends at is pasted back. For Microsoft
    a code is shown, to be entered in any browser.

    \b
    Examples:
      fastmail-ingest auth setup work
      fastmail-ingest auth setup work --no-browser
    """
    from fastmail_ingest.app.operate import auth as work  # noqa: PLC0415 - heavy; see main
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ)
    work.setup(config, account, browser=not no_browser, check=not no_check)


@auth.command()
@click.argument("account", metavar="ACCOUNT")
@json_option
@config_option
def info(account: str, as_json: bool, config_path: Path | None) -> None:
    """Show whose permission it is, for what, and how it stands; never a token. Asks nobody.

    \b
    Example:
      fastmail-ingest auth info work

    \b
    Exit code: 0 in order, 3 it was never set up, or was revoked.
    """
    from fastmail_ingest.app.operate import auth as work  # noqa: PLC0415
    from fastmail_ingest.config import load  # noqa: PLC0415

    sys.exit(work.info(load(chosen(config_path), os.environ), account, as_json=as_json))


@auth.command()
@click.argument("account", metavar="ACCOUNT")
@json_option
@config_option
def refresh(account: str, as_json: bool, config_path: Path | None) -> None:
    """Have the access token replaced now, also to see whether the permission still stands.

    \b
    Examples:
      fastmail-ingest auth refresh work
      fastmail-ingest auth refresh work --json

    \b
    Exit code: 0 it is replaced, 3 the provider does not answer, or refuses.
    """
    from fastmail_ingest.app.operate import auth as work  # noqa: PLC0415
    from fastmail_ingest.config import load  # noqa: PLC0415

    work.refresh(load(chosen(config_path), os.environ), account, as_json=as_json)


@auth.command()
@click.argument("account", metavar="ACCOUNT")
@yes_option
@config_option
def revoke(account: str, yes: bool, config_path: Path | None) -> None:
    """Give the permission back to the provider, and delete the token file.

    \b
    Example:
      fastmail-ingest auth revoke work
    """
    from fastmail_ingest.app.operate import auth as work  # noqa: PLC0415
    from fastmail_ingest.config import load  # noqa: PLC0415

    config = load(chosen(config_path), os.environ)
    work.revoke(config, account, lambda question: ask(question, yes=yes))
