"""What is known of the large mail providers, so that an account need not say it.

Sources: Google's "Gmail IMAP, POP, and SMTP" and "Gmail bandwidth limits" help pages, Microsoft's "POP, IMAP
and SMTP settings for Outlook.com", and the IMAP help pages of Fastmail, Yahoo and Apple.
"""

from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

ProviderName: TypeAlias = Literal["generic", "gmail", "outlook", "fastmail", "yahoo", "icloud"]

_MB = 1_000_000


class Provider(Struct, frozen=True):
    """Server, limits, and how one logs in there. `daily_bytes` 0 means that no limit is known."""

    host: str = ""
    daily_bytes: int = 0
    password_help: str = ""  # what to do when a password is refused
    tokens: bool = False  # whether we know its OAuth2 endpoints


PROVIDERS = MappingProxyType(
    {
        "generic": Provider(),
        "gmail": Provider(
            "imap.gmail.com",
            # Google allows 2,500 MB a day by IMAP, for all clients of the account: 80 % of it are ours.
            2_000 * _MB,
            "Gmail takes no account password: use OAuth2 (oauth_client_file), or an app password from "
            "myaccount.google.com/apppasswords",
            tokens=True,
        ),
        "outlook": Provider(
            "outlook.office365.com",
            0,
            "Microsoft takes no password over IMAP: use OAuth2 (oauth_client_id)",
            tokens=True,
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
