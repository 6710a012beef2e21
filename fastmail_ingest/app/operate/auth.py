"""The grants of accounts that log in by OAuth2: set up, look at, renew, give back."""

import time
from collections.abc import Callable

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from fastmail_ingest.app.credentials import keeper_of, token_file_of
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.consent import ask_google, ask_microsoft
from fastmail_ingest.config import Account, Config
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.wording import setup_command
from fastmail_ingest.errors import (
    EXIT_OK,
    EXIT_UNAVAILABLE,
    ConfigError,
    TokenRefused,
    TokenUnavailable,
)
from fastmail_ingest.source.session import hang_up, log_in

_MICROSOFT_CONSENTS = "https://myapps.microsoft.com (or https://account.live.com/consent/Manage)"


class Info(Struct):
    """What may be known of an account's grant: everything but the tokens. Times are seconds since 1970.

    `state` is password, not set up, good, due (is renewed at the next login), revoked, or on demand.
    """

    account: str
    user: str
    login: str
    state: str
    token_file: str = ""
    client_id: str = ""
    scopes: list[str] = []
    obtained_at: float = 0.0
    expires_at: float = 0.0
    reason: str = ""

    @property
    def exit_code(self) -> int:
        """Not 0 if only a human can bring the account to work."""
        return EXIT_UNAVAILABLE if self.state in {"not set up", "revoked"} else EXIT_OK


def account_named(config: Config, name: str) -> Account:
    """The configured account. Raises ConfigError if there is none of that name."""
    for account in config.accounts:
        if account.name == name:
            return account
    known = ", ".join(account.name for account in config.accounts)
    raise ConfigError(f"no account is named {words.clean(name)}. remedy: one of {known}")


def setup(config: Config, name: str, *, browser: bool, check: bool) -> None:
    """Ask the user of an account for a grant and keep it; then see whether the mail server takes it."""
    account = account_named(config, name)
    if account.login_method == "google":
        grant = ask_google(account, browser=browser)
    elif account.login_method == "microsoft":
        grant = ask_microsoft(account)
    else:
        raise _no_setup(account)
    file = token_file_of(account)
    with file.locked():
        file.write(replace(grant, set_up_at=time.time()))
    words.say(f"{account.name}: the grant is kept in {file.path}", "green")
    if check:
        _log_in(config, account)


def _log_in(config: Config, account: Account) -> None:
    try:
        hang_up(log_in(account, config.producer.timeout, keeper_of(account)))
    except TokenRefused as error:
        raise TokenRefused(
            f"{error}. remedy: was another user than {account.user} chosen in the browser? Then: "
            f"{setup_command(account)}. Else see that IMAP is enabled for the mailbox"
        ) from None
    words.say(f"{account.name}: the mail server takes it", "green")


def _no_setup(account: Account) -> ConfigError:
    if account.login_method == "service_account":
        return ConfigError(
            f"account {account.name} logs in by a service account, which asks nobody. remedy: allow it the "
            f"scope in the Workspace admin console (docs/OAUTH2_SETUP.md); fastmail-ingest auth refresh "
            f"{account.name} tries it"
        )
    return ConfigError(
        f"account {account.name} logs in by password. remedy: nothing is to be set up; for OAuth2 write "
        "oauth_client_file (Google) or oauth_client_id (Microsoft) instead of the password"
    )


def info(config: Config, name: str, *, as_json: bool) -> int:
    """Show whose grant it is and how it stands; returns the exit code."""
    account = account_named(config, name)
    found = _info(account, time.time())
    if as_json:
        words.say_json(to_builtins(found))
        return found.exit_code
    style = "bold green" if found.exit_code == EXIT_OK else "bold red"
    words.say(f"{found.account}: {found.state}{f' ({found.reason})' if found.reason else ''}", style)
    for label, value in _rows(found):
        if value:
            words.say(f"  {label:<12}{value}")
    if found.exit_code != EXIT_OK:
        words.say(f"remedy: {setup_command(account)}")
    return found.exit_code


def _rows(found: Info) -> list[tuple[str, str]]:
    ends = f"{words.moment(found.expires_at)} UTC, in {words.duration(found.expires_at - time.time())}"
    return [
        ("user", found.user),
        ("login", found.login),
        ("token file", found.token_file),
        ("client", found.client_id),
        ("scopes", " ".join(found.scopes)),
        ("obtained", words.moment(found.obtained_at) if found.obtained_at else ""),
        ("good until", ends if found.expires_at else ""),
    ]


def _info(account: Account, now: float) -> Info:
    shown = Info(account.name, account.user, account.login_method, "password", token_file=account.token_file)
    if account.login_method == "password":
        return shown
    shown.state = "on demand" if account.login_method == "service_account" else "not set up"
    grant = token_file_of(account).read() if account.token_file else None
    if grant is None:
        return shown
    shown.user, shown.client_id, shown.scopes = grant.user, grant.client_id, grant.scopes
    shown.obtained_at, shown.expires_at = grant.obtained_at, grant.expires_at
    shown.state = "good" if grant.good(now) else "due"
    if grant.revoked:
        shown.state, shown.reason = "revoked", grant.revoked
    return shown


def refresh(config: Config, name: str, *, as_json: bool) -> None:
    """Have the access token of an account replaced now."""
    account = account_named(config, name)
    if account.login_method == "password":
        raise _no_setup(account)
    grant = keeper_of(account).refresh()
    if as_json:
        words.say_json({"account": account.name, "expires_at": grant.expires_at})
        return
    words.say(f"{account.name}: a new access token, good until {words.moment(grant.expires_at)} UTC", "green")


def revoke(config: Config, name: str, confirm: Callable[[str], None]) -> None:
    """Give the grant back and delete its file, after `confirm` has returned from the question."""
    account = account_named(config, name)
    if account.login_method not in {"google", "microsoft"}:
        raise ConfigError(
            f"account {account.name} has no grant to revoke. remedy: for a service account delete its key in "
            "the Google Cloud console, for a password change it at the provider"
        )
    file = token_file_of(account)
    if file.read() is None:
        raise ConfigError(f"{file.path}: there is no grant to revoke. remedy: none is needed")
    confirm(
        f"Revoke the grant of {account.user} and delete {file.path}? No mail of account {account.name} is "
        "fetched until it is set up again."
    )
    with file.locked():
        grant = file.read()
        if grant is not None:
            _give_back(account, grant)
        file.remove()
    words.say(f"{account.name}: {file.path} is deleted", "green")
    if account.login_method == "microsoft":
        words.say(f"Microsoft lets only the user take the permission itself back: {_MICROSOFT_CONSENTS}")


def _give_back(account: Account, grant: Grant) -> None:
    if account.login_method != "google":
        return
    from fastmail_ingest.credential.google import UserIssuer  # noqa: PLC0415 - large packages

    try:
        UserIssuer(account).revoke(grant)
    except (TokenUnavailable, ConfigError) as error:
        raise type(error)(
            f"{error}. The tokens are kept. remedy: try again; or take the access back at "
            f"myaccount.google.com/connections, then delete {account.token_file}"
        ) from None
    words.say(f"{account.name}: the grant is revoked at Google", "green")
