"""The sections of the handler `classify`: [classify] and [[classify_rules]]."""

from typing import Annotated, Literal

from msgspec import Meta, field

from fastmail_ingest.config.outgoing import STREAM, STREAM_WORDS
from fastmail_ingest.config.section import DAY_S, TIB, Section, expects
from fastmail_ingest.model.classification import Problem

_NO_CONTROL = r"^[^\x00-\x1f\x7f]+\Z"
# A label that goes into log lines, streams and webhooks.
_CATEGORY = r"^[\w.-]{1,64}\Z"
_SENDER = r"^[^\x00-\x20\x7f@]*@?[^\x00-\x20\x7f@]+\Z"
Word = Annotated[
    str, Meta(pattern=_NO_CONTROL, extra=expects("a non-empty string without control characters"))
]
Place = Literal["subject", "text", "sender"]


class ClassifyConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The handler "classify": checks a mail and names its categories and its priority."""

    reject: Annotated[
        list[Problem],
        Meta(
            description="Problems that send a mail to the dead letters, others are only noted: no_sender, "
            "no_date, too_old, too_large, damaged (anything at all, be it a wrong charset label only).",
            extra=expects("a list of no_sender, no_date, too_old, too_large, damaged"),
            examples=[["no_sender", "too_large"]],
        ),
    ] = field(default_factory=list)
    max_age_days: Annotated[
        int,
        Meta(description="A Date longer ago is the problem too_old, days; 0 = no limit.", ge=0, le=36500),
    ] = 0
    max_size: Annotated[
        int, Meta(description="A mail above is the problem too_large, bytes; 0 = no limit.", ge=0, le=TIB)
    ] = 0
    search_limit: Annotated[
        int,
        Meta(description="So many characters of the text are searched.", ge=0, le=100_000_000),
    ] = 50_000
    header_priority: Annotated[
        bool,
        Meta(
            description="Believe the headers X-Priority, Importance and Priority, which any sender may set."
        ),
    ] = True
    statistics_every: Annotated[
        float,
        Meta(
            description="How often each worker logs what it counted, s; 0 = only when it ends.",
            ge=0,
            le=DAY_S,
        ),
    ] = 600.0
    stream: Annotated[
        str,
        Meta(
            description="Add each result to this stream, too, in the Redis of [redis_stream]. Empty: only "
            "hand it on to the next handler.",
            pattern=rf"^\Z|{STREAM}",
            extra=expects(STREAM_WORDS),
            examples=["mail-classes"],
        ),
    ] = ""


class ClassifyRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What puts a mail into a category. Write one such block for each.

    It fits if one of its words or patterns is found, and if the sender is among its senders; what is not
    written asks for nothing.
    """

    category: Annotated[
        str,
        Meta(
            description="The name of the category; several rules may give the same.",
            pattern=_CATEGORY,
            extra=expects("1 to 64 letters, digits, dots, underscores or hyphens"),
            examples=["billing"],
        ),
    ]
    words: Annotated[
        list[Word],
        Meta(
            description="Words or phrases, found as whole words, whatever their case.",
            extra=expects("a list of non-empty strings without control characters"),
            examples=[["invoice", "payment due", "Rechnung"]],
        ),
    ] = field(default_factory=list)
    patterns: Annotated[
        list[Word],
        Meta(
            description="Regular expressions, whatever the case, in RE2's syntax (extra `patterns`), whose "
            "time grows with the text only: no mail can stall a worker.",
            extra=expects("a list of non-empty strings without control characters"),
            examples=[[r"\bINV-\d{4,8}\b"]],
        ),
    ] = field(default_factory=list)
    senders: Annotated[
        list[Annotated[str, Meta(pattern=_SENDER, extra=expects("an address or a domain"))]],
        Meta(
            description="Addresses, or domains with all that is below them.",
            extra=expects("a list of addresses or domains"),
            examples=[["boss@example.org", "example.com"]],
        ),
    ] = field(default_factory=list)
    look_in: Annotated[
        list[Place],
        Meta(
            description="Where words and patterns are looked for: subject, text (the plain text, or else "
            "that of the HTML), sender.",
            min_length=1,
            extra=expects("a list of subject, text, sender, at least one"),
        ),
    ] = field(default_factory=lambda: ["subject", "text"])
    priority: Annotated[
        Literal["", "urgent", "high", "normal", "low"],
        Meta(
            description="What a mail becomes that fits: urgent, high, normal or low; of several rules the "
            "highest. Empty: the rule says nothing about that.",
            examples=["high"],
        ),
    ] = ""
