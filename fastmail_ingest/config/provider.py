"""What is known of the large mail providers, so that an account need not say it.

Sources: Google's "Gmail IMAP, POP, and SMTP" and "Gmail bandwidth limits" help pages, Microsoft's "POP, IMAP
and SMTP settings for Outlook.com", and the IMAP help pages of Fastmail, Yahoo and Apple.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

ProviderName: TypeAlias = Literal["generic", "gmail", "outlook", "fastmail", "yahoo", "icloud"]

_MB = 1_000_000
_GOOGLE = ("oauth_client_file", "service_account_file")
_MICROSOFT = ("oauth_client_id",)


class Provider(Struct, frozen=True):
    """Server, limits, and how one logs in there. `daily_bytes` 0 means that no limit is known."""

    host: str = ""
    daily_bytes: int = 0
    password_help: str = ""  # what to do when a password is refused
    oauth: tuple[str, ...] = ()  # the settings of OAuth2 that it knows, the usual one first


PROVIDERS: Mapping[ProviderName, Provider] = MappingProxyType(
    {
        "generic": Provider(oauth=(*_GOOGLE, *_MICROSOFT)),
        "gmail": Provider(
            "imap.gmail.com",
            # Google allows 2,500 MB a day by IMAP, for all clients of the account: 80 % of it are ours.
            2_000 * _MB,
            "Gmail takes no account password: use OAuth2 (oauth_client_file), or an app password from "
            "myaccount.google.com/apppasswords",
            oauth=_GOOGLE,
        ),
        "outlook": Provider(
            "outlook.office365.com",
            0,
            "Microsoft takes no password over IMAP: use OAuth2 (oauth_client_id)",
            oauth=_MICROSOFT,
        ),
        "fastmail": Provider(
            "imap.fastmail.com", 0, "Fastmail wants an app password: Settings > Privacy & Security"
        ),
        "yahoo": Provider("imap.mail.yahoo.com", 0, "Yahoo wants an app password: Account Info > Security"),
        "icloud": Provider(
            "imap.mail.me.com", 0, "Apple wants an app-specific password: account.apple.com > Sign-In"
        ),
    }
)

OAUTH_OF: Mapping[str, ProviderName] = MappingProxyType(
    {"oauth_client_file": "gmail", "service_account_file": "gmail", "oauth_client_id": "outlook"}
)
"""Whose tokens a setting gets."""


def provider_of(name: ProviderName, host: str) -> ProviderName:
    """Whose mailbox it is: as it is named, else by the host."""
    if name != "generic":
        return name
    return next((each for each, known in PROVIDERS.items() if host and host.lower() == known.host), name)
