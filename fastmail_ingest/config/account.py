"""The [[accounts]] section: where mails come from."""

from typing import Annotated, Literal

from msgspec import Meta, field

from fastmail_ingest.config.provider import PROVIDERS, Provider, ProviderName
from fastmail_ingest.config.section import ONE_LINE, TIB, Section, expects

IMAP_PORT = 143
IMAPS_PORT = 993

# \Z and not $: the latter would let a trailing line break pass.
_ACCOUNT_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}\Z"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]+\Z"
_HTTPS = r"^https://[^\x00-\x20\x7f]+\Z"
_HOST = r"^\Z|^([^\x00-\x20\x7f/@:\[\]]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*)\Z"

MailboxName = Annotated[
    str, Meta(pattern=_NO_CONTROL, extra=expects("a non-empty string without control characters"))
]


class Account(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mail account. Write one such block for each."""

    name: Annotated[
        str,
        Meta(
            description="Part of each mail's identity: do not rename, or its mails count as new. "
            "1 to 32 of a-z, 0-9, _ and -.",
            pattern=_ACCOUNT_NAME,
            extra=expects(
                "1 to 32 lower case letters, digits, underscores or hyphens, a letter or digit first"
            ),
            examples=["work"],
        ),
    ]
    provider: Annotated[
        ProviderName,
        Meta(
            description="Sets host, limits and OAuth2 for a large provider: gmail, outlook, fastmail, yahoo, "
            "icloud."
        ),
    ] = "generic"
    host: Annotated[
        str,
        Meta(
            description="The mail server. Empty: that of the provider.",
            pattern=_HOST,
            extra=expects("a host name or address alone, without scheme, user or port"),
            examples=["imap.example.com"],
        ),
    ] = ""
    port: Annotated[
        int, Meta(description='0 stands for 993 with tls = "on", else for 143.', ge=0, le=65535)
    ] = 0
    tls: Annotated[
        Literal["on", "starttls", "off"],
        Meta(description="on: TLS from the first byte; starttls: begin in plain text; off: none."),
    ] = "on"
    tls_ca_file: Annotated[
        str, Meta(description="PEM file to trust instead of the system's certificate authorities.")
    ] = ""
    user: Annotated[
        str,
        Meta(
            description="Login name.",
            pattern=_NO_CONTROL,
            extra=expects("a non-empty string without control characters"),
            examples=["me@example.com"],
        ),
    ]
    password_file: Annotated[
        str,
        Meta(
            description="File that holds the password, or the app password, and nothing else (chmod 600). "
            "An account logs in by exactly one of password_file, password (better in "
            "FASTMAIL_INGEST__ACCOUNTS__<NAME>__PASSWORD), oauth_client_file, oauth_client_id and "
            "service_account_file.",
            examples=["work.password"],
        ),
    ] = ""
    password: Annotated[
        str,
        Meta(
            description="The password itself; refused in a file which others can read.",
            pattern=ONE_LINE,
            extra=expects("a string without control characters"),
            examples=["..."],
        ),
    ] = ""
    oauth_client_file: Annotated[
        str,
        Meta(
            description="OAuth2 at Google: the JSON file of the client that the Google Cloud console gives "
            "(chmod 600). Then once: fastmail-ingest auth setup NAME.",
            examples=["google-client.json"],
        ),
    ] = ""
    oauth_client_id: Annotated[
        str,
        Meta(
            description="OAuth2 at Microsoft: the application (client) id. Then once: fastmail-ingest auth "
            "setup NAME.",
            pattern=ONE_LINE,
            extra=expects("a string without control characters"),
            examples=["00000000-0000-0000-0000-000000000000"],
        ),
    ] = ""
    oauth_authority: Annotated[
        str,
        Meta(
            description="OAuth2 at Microsoft: who signs users in; put your tenant in place of common, or "
            "name a national cloud.",
            pattern=_HTTPS,
            extra=expects("an https:// URL"),
        ),
    ] = "https://login.microsoftonline.com/common"
    service_account_file: Annotated[
        str,
        Meta(
            description="Google Workspace: the JSON key of a service account with domain-wide delegation "
            "(chmod 600); it logs in as user.",
            examples=["service-account.json"],
        ),
    ] = ""
    token_file: Annotated[
        str,
        Meta(
            description="Where OAuth2 keeps its tokens; written by us, for us alone. Empty: NAME.token.json.",
            examples=["work.token.json"],
        ),
    ] = ""
    mailboxes: Annotated[
        list[MailboxName],
        Meta(
            description="Mailboxes (folders, labels) to fetch from. One that is named like its use, as in "
            "\\\\All, \\\\Junk, \\\\Sent, is found whatever its name in the user's language.",
            min_length=1,
            extra=expects("a list of mailbox names, at least one, without control characters"),
            examples=[["INBOX"]],
        ),
    ] = field(default_factory=lambda: ["INBOX"])
    start: Annotated[
        Literal["all", "now"],
        Meta(
            description="What a mailbox that is new to us begins with: all mail that is there, or what comes "
            "from now on (fetch the rest with `fastmail-ingest import`)."
        ),
    ] = "all"
    max_connections: Annotated[
        int,
        Meta(
            description="Most connections at once; Gmail allows 15 an account, all programs together. With "
            "fewer than mailboxes, the first mailboxes have one each, the others share the last.",
            ge=1,
            le=15,
        ),
    ] = 4
    daily_bytes: Annotated[
        int,
        Meta(
            description="Most bytes that are fetched in 24 hours. 0: as the provider is known to allow (80 % "
            "of Gmail's 2,500 MB), else without limit.",
            ge=0,
            le=TIB,
        ),
    ] = 0
    compress: Annotated[
        bool,
        Meta(description="Ask the server to compress (RFC 4978): for slow lines; costs CPU on both sides."),
    ] = False

    @property
    def effective_port(self) -> int:
        """The TCP port to connect to: `port`, or the usual one for `tls`."""
        return self.port or (IMAPS_PORT if self.tls == "on" else IMAP_PORT)

    @property
    def known(self) -> Provider:
        """What is known of the provider."""
        return PROVIDERS[self.provider]

    @property
    def login_method(self) -> Literal["password", "google", "microsoft", "service_account"]:
        """How this account logs in; loading has made sure that there is exactly one way."""
        if self.oauth_client_file:
            return "google"
        if self.oauth_client_id:
            return "microsoft"
        return "service_account" if self.service_account_file else "password"

    @property
    def effective_daily_bytes(self) -> int:
        """Bytes that may be fetched in 24 hours; 0 if there is no limit."""
        return self.daily_bytes or self.known.daily_bytes
