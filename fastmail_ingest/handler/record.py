"""What is kept of a mail as plain values that every JSON reader and every database takes."""

from datetime import datetime

from msgspec import Struct

from fastmail_ingest.model.classification import Classification, classification_of
from fastmail_ingest.model.email import Attachment, Email

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Record(Struct, frozen=True, kw_only=True):
    """One mail by the names that it has in `Email`; times are in UTC, absent texts are empty."""

    id: str
    account: str
    mailbox: str
    lane: str
    attempt: int
    internal_date: datetime | None  # when the server received it
    date: datetime | None  # what the sender says
    sender: str
    sender_name: str
    to: list[str]  # addresses without names: a column takes no more
    cc: list[str]
    subject: str
    message_id: str
    text: str  # what a person reads: the plain text, or else the text of the HTML
    size: int  # bytes of the raw mail
    flags: list[str]
    labels: list[str]
    classification: Classification | None  # what `classify` found, if it stands before in the chain


COLUMNS = (*Record.__struct_fields__, "raw")
"""A table of records has these columns; the last one is the whole mail, if that is kept."""


class Enclosed(Struct, frozen=True):
    """One attachment; `content` is decoded."""

    number: int  # from 1, in the mail's order
    filename: str
    content_type: str
    content: bytes


def record_of(email: Email, *, text: bool = True) -> Record:
    """The mail's record; `text=False` leaves the text empty."""
    return Record(
        id=clean(email.id),
        account=clean(email.account),
        mailbox=clean(email.mailbox),
        lane=email.lane.label,
        attempt=email.attempt,
        internal_date=email.internal_date,
        date=email.date,
        sender=clean(email.sender),
        sender_name=clean(email.sender_name),
        to=[clean(each.address) for each in email.to],
        cc=[clean(each.address) for each in email.cc],
        subject=clean(email.subject),
        message_id=clean(email.message_id),
        text=clean(email.body_text) if text else "",
        size=email.size,
        flags=[clean(flag) for flag in email.flags],
        labels=[clean(label) for label in email.labels],
        classification=classification_of(email),
    )


def enclosed_in(email: Email) -> list[Enclosed]:
    """The mail's attachments, decoded."""
    return [_enclosed(number, each) for number, each in enumerate(email.attachments, start=1)]


def clean(text: str) -> str:
    """`text` without what no database takes: NUL, and halves of characters (lone surrogates)."""
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _enclosed(number: int, attachment: Attachment) -> Enclosed:
    return Enclosed(number, clean(attachment.filename), clean(attachment.content_type), attachment.content())
