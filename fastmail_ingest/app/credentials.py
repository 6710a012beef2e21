"""Which tokens an account logs in with, and who keeps them."""

from fastmail_ingest.config import Account
from fastmail_ingest.credential.keeper import Issuer, Keeper, Memory, Store
from fastmail_ingest.credential.token_file import TokenFile
from fastmail_ingest.credential.wording import setup_command
from fastmail_ingest.source.session import Tokens


def tokens_of(account: Account) -> Tokens | None:
    """Where the access tokens of an account come from; None if it logs in by password.

    Make one an account and process, and share it: that of a service account keeps its token in memory. It is
    safe for threads.
    """
    return None if account.login_method == "password" else keeper_of(account)


def keeper_of(account: Account) -> Keeper:
    """The keeper of an account that logs in by OAuth2."""
    store: Store = token_file_of(account) if account.token_file else Memory()
    return Keeper(store, _issuer(account))


def token_file_of(account: Account) -> TokenFile:
    """The file that an account's grant is kept in."""
    return TokenFile(account.token_file, setup_command(account))


def _issuer(account: Account) -> Issuer:
    # Each loads its own: the packages behind them are large, and who logs in by password needs none.
    if account.login_method == "microsoft":
        from fastmail_ingest.credential.microsoft import MicrosoftIssuer  # noqa: PLC0415

        return MicrosoftIssuer(account)
    from fastmail_ingest.credential.google import ServiceIssuer, UserIssuer  # noqa: PLC0415

    return ServiceIssuer(account) if account.login_method == "service_account" else UserIssuer(account)
