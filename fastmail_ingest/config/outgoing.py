"""The sections of the handlers that hand mails on: [webhook] and [redis_stream]."""

from typing import Annotated, Literal

from msgspec import Meta, field

from fastmail_ingest.config.section import DAY_S, MIB, ONE_LINE, Section, expects

# \Z and not $: the latter would let a trailing line break pass. No @ in front of the host: what stands there
# would be a password, and would be sent to wherever the name leads.
_HTTP_URL = r"^\Z|^https?://[^\x00-\x20\x7f@/?#]+([/?][^\x00-\x20\x7f#]*)?\Z"
_REDIS_URL = r"^\Z|^(redis|rediss|unix)://[^\x00-\x20\x7f]+\Z"
_HEADER_NAME = r"^[!-9;-~]+\Z"  # RFC 5322, 3.6.8: printable ASCII without the colon
# Braces name the slot on a Redis Cluster: one pair at most, or a second key could not be put beside it.
_PLAIN = r"[^\x00-\x1f\x7f{}]"
STREAM = rf"^(?=.){_PLAIN}*({{{_PLAIN}+}}{_PLAIN}*)?\Z"
STREAM_WORDS = "a key without control characters, with at most one hash tag in braces"


class DocumentSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is handed on of a mail; the same for all that hand on."""

    headers: Annotated[
        list[Annotated[str, Meta(pattern=_HEADER_NAME, extra=expects("the name of a header"))]],
        Meta(
            description="Headers to hand on, beside subject, addresses, date and message id.",
            extra=expects("a list of header names"),
            examples=[["List-Id", "X-Ticket"]],
        ),
    ] = field(default_factory=list)
    text_limit: Annotated[
        int,
        Meta(
            description="Most characters of the text (the plain one, or else that of the HTML), and of the "
            "HTML; 0 = neither, and no preview.",
            ge=0,
            le=100 * MIB,
        ),
    ] = 100_000
    html: Annotated[bool, Meta(description="Hand on the HTML, too: written by strangers, not sanitised.")] = (
        False
    )
    content_limit: Annotated[
        int,
        Meta(
            description="Attachments go with their content as long as all together have no more bytes; 0 = "
            "only names, types and sizes.",
            ge=0,
            le=100 * MIB,
        ),
    ] = 0


class WebhookConfig(DocumentSection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "webhook": each mail is a signed HTTP request (Standard Webhooks) to your service."""

    url: Annotated[
        str,
        Meta(
            description="Where each mail is sent to by POST. Plain http:// only to private addresses.",
            pattern=_HTTP_URL,
            extra=expects("an https:// URL without user and password"),
            examples=["https://api.example.com/mails"],
        ),
    ] = ""
    secret_file: Annotated[
        str,
        Meta(
            description="File that holds the signing secret, whsec_ and base64, and nothing else (chmod "
            "600). While it is being changed: the new one and the old one, with a space between.",
            examples=["webhook.secret"],
        ),
    ] = ""
    secret: Annotated[
        str,
        Meta(
            description="The secret itself; better in secret_file or in FASTMAIL_INGEST__WEBHOOK__SECRET.",
            pattern=ONE_LINE,
            extra=expects("a string without control characters"),
            examples=["..."],
        ),
    ] = ""
    allow_private: Annotated[
        bool,
        Meta(
            description="Send to loopback, private and link-local addresses, too. Whatever the name in url "
            "leads to, the address itself is looked at."
        ),
    ] = False
    tls_ca_file: Annotated[
        str, Meta(description="PEM file to trust instead of the system's certificate authorities.")
    ] = ""
    connect_timeout: Annotated[
        float, Meta(description="Deadline on name, connection and TLS, s.", gt=0, le=3600)
    ] = 5.0
    read_timeout: Annotated[float, Meta(description="Deadline on each wait for data, s.", gt=0, le=3600)] = (
        15.0
    )
    total_timeout: Annotated[float, Meta(description="Deadline on the whole request, s.", gt=0, le=DAY_S)] = (
        30.0
    )


class RedisStreamConfig(DocumentSection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "redis-stream": each mail is an entry of a Redis stream for another consumer."""

    url: Annotated[
        str,
        Meta(
            description="redis://, rediss:// or unix:// address. Empty: the Redis of [redis].",
            pattern=_REDIS_URL,
            extra=expects("a redis://, rediss:// or unix:// URL"),
            examples=["redis://localhost:6379/1"],
        ),
    ] = ""
    stream: Annotated[
        str,
        Meta(
            description="The stream's key. What you read, remove: nothing is trimmed by us.",
            pattern=STREAM,
            extra=expects(STREAM_WORDS),
        ),
    ] = "mails"
    format: Annotated[
        Literal["json", "msgpack"], Meta(description="How field `document` of an entry is written.")
    ] = "json"
    max_length: Annotated[
        int,
        Meta(
            description="With so many entries it is full: mails wait until its consumers have removed some; "
            "0 = no limit.",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 100_000
    remember_days: Annotated[
        int,
        Meta(
            description="For so long a mail that was added is not added again, days.",
            ge=1,
            le=3650,
        ),
    ] = 30
