"""The section [admin]: the HTTP server for health, metrics and dashboard, and what it calls healthy."""

from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta, field

from fastmail_ingest.config.section import DAY_S, Section, expects

TOKEN_CHARS_MIN = 16
HOW_TO_MAKE_ONE = (
    "(umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe())' > admin.token), "
    'and write token_file = "admin.token"'
)
# \Z and not $: the latter would let a trailing line break pass.
_HOST = r"^([^\x00-\x20\x7f/@:\[\]]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*)\Z"
_NAME = r"^[A-Za-z0-9._-]{1,253}\Z"
# It travels in a header: RFC 6750 2.1 has these characters, and no others.
TOKEN = r"^[A-Za-z0-9._~+/=-]*\Z"  # noqa: S105 - what tokens look like is no token


class AdminConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP: /health, /ready, /status, /metrics, and the dashboard."""

    host: Annotated[
        str,
        Meta(
            description="Address to listen on. Others than loopback need a token.",
            pattern=_HOST,
            extra=expects("a host name or address alone, without scheme and port"),
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(description="Port to listen on; 0 = no HTTP at all. None with --once.", ge=0, le=65535)
    ] = 8080
    metrics_port: Annotated[
        int,
        Meta(description="Another port with /metrics and /health alone; 0 = none.", ge=0, le=65535),
    ] = 0
    token_file: Annotated[
        str,
        Meta(
            description="File that holds the token and nothing else (chmod 600). Without a token nobody can "
            "change anything over HTTP, nor see what a mail says.",
            examples=["admin.token"],
        ),
    ] = ""
    token: Annotated[
        str,
        Meta(
            description="The token itself, 16 characters or more; better in token_file or in "
            "FASTMAIL_INGEST__ADMIN__TOKEN.",
            pattern=TOKEN,
            extra=expects("letters, digits and . _ ~ + / = - alone"),
            examples=["..."],
        ),
    ] = ""
    allowed_hosts: Annotated[
        list[Annotated[str, Meta(pattern=_NAME, extra=expects("a host name without port"))]],
        Meta(
            description="Names by which browsers and scrapers may call this server, beside localhost, host "
            "and IP addresses. A name that is not known is refused (DNS rebinding).",
            extra=expects("a list of host names without port"),
            examples=[["mail.example.com"]],
        ),
    ] = field(default_factory=list)
    silence: Annotated[
        float,
        Meta(
            description="A mail server that owes an answer for so long, or serves none of our tries, makes "
            "/ready fail, s.",
            ge=5,
            le=DAY_S,
        ),
    ] = 15.0
    freshness: Annotated[
        float,
        Meta(
            description="A mailbox that was not proved fresh for so long makes /ready fail, s; 0 = twice "
            "[producer] poll_max and timeout.",
            ge=0,
            le=DAY_S,
        ),
    ] = 0.0
    backlog_age: Annotated[
        float,
        Meta(
            description="A mail that waits to be handled for so long makes /ready fail, s.",
            gt=0,
            le=7 * DAY_S,
        ),
    ] = 600.0
    dead_growth: Annotated[
        int,
        Meta(
            description="So many more dead letters within five minutes make /ready fail.", ge=1, le=1_000_000
        ),
    ] = 20
    deaths: Annotated[
        int,
        Meta(
            description="So many deaths of processes of one role within a minute make /ready fail.",
            ge=1,
            le=1000,
        ),
    ] = 4

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"
