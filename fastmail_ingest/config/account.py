"""The [[accounts]] section: where mails come from."""

from typing import Annotated, Literal

from msgspec import Meta, field

from fastmail_ingest.config.section import ONE_LINE, Section, expects

IMAP_PORT = 143
IMAPS_PORT = 993

# \Z and not $: the latter would let a trailing line break pass.
_ACCOUNT_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}\Z"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]+\Z"
_HOST = r"^([^\x00-\x20\x7f/@:\[\]]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*)\Z"

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
    host: Annotated[
        str,
        Meta(
            description="The mail server.",
            pattern=_HOST,
            extra=expects("a host name or address alone, without scheme, user or port"),
            examples=["imap.example.com"],
        ),
    ]
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
            description="File that holds the password, and nothing else (chmod 600). Give exactly one of "
            "password_file, password and FASTMAIL_INGEST__ACCOUNTS__<NAME>__PASSWORD.",
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
    mailboxes: Annotated[
        list[MailboxName],
        Meta(
            description="Mailboxes (folders, labels) to fetch from.",
            min_length=1,
            extra=expects("a list of mailbox names, at least one, without control characters"),
            examples=[["INBOX"]],
        ),
    ] = field(default_factory=lambda: ["INBOX"])
    max_connections: Annotated[
        int, Meta(description="Most connections at once; Gmail allows 15 an account.", ge=1, le=15)
    ] = 4

    @property
    def effective_port(self) -> int:
        """The TCP port to connect to: `port`, or the usual one for `tls`."""
        return self.port or (IMAPS_PORT if self.tls == "on" else IMAP_PORT)
