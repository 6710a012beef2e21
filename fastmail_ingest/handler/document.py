"""A mail as it is handed on to other programs: one document, in JSON or msgpack.

The same mail always gives the same document, so that whoever gets it twice can tell.
"""

from datetime import datetime

import msgspec

from fastmail_ingest.config.outgoing import DocumentSection
from fastmail_ingest.model.classification import Classification, classification_of
from fastmail_ingest.model.email import Address, Attachment, Email

VERSION = 1


class AttachmentDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attachment; `content` (base64 in JSON) only if it was asked for and is not too large."""

    filename: str
    content_type: str
    content_id: str
    inline: bool
    size: int
    content: bytes | None = None


class MailDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is handed on, by the names that it has in `Email`; docs/DATA.md has all of it.

    Fields may be added, none changes its meaning within a `version`.
    """

    version: int
    id: str
    account: str
    mailbox: str
    size: int
    subject: str
    sender: str
    sender_name: str
    to: list[Address]
    cc: list[Address]
    reply_to: list[Address]
    date: datetime | None
    internal_date: datetime | None
    message_id: str
    headers: dict[str, list[str]]  # those that were asked for, names in lower case
    preview: str
    attachments: list[AttachmentDocument]
    defects: list[str]
    text: str = ""  # what a person reads: the plain text, or else the text of the HTML
    html: str = ""
    cut: bool = False  # text or html are longer than they are here
    classification: Classification | None = None


def document_of(email: Email, section: DocumentSection) -> MailDocument:
    """What `section` says is to be handed on of a mail."""
    limit = section.text_limit
    text, html = email.body_text if limit else "", email.html if section.html else ""
    return MailDocument(
        version=VERSION,
        id=email.id,
        account=email.account,
        mailbox=email.mailbox,
        size=email.size,
        subject=email.subject,
        sender=email.sender,
        sender_name=email.sender_name,
        to=email.to,
        cc=email.cc,
        reply_to=email.reply_to,
        date=email.date,
        internal_date=email.internal_date,
        message_id=email.message_id,
        headers=_headers(email, section.headers),
        preview=email.preview if limit else "",
        attachments=_attachments(email.attachments, section.content_limit),
        defects=email.defects,
        text=text[:limit],
        html=html[:limit],
        cut=limit > 0 and max(len(text), len(html)) > limit,
        classification=classification_of(email),
    )


def _headers(email: Email, wanted: list[str]) -> dict[str, list[str]]:
    return {name.lower(): email.header_all(name) for name in wanted}


def _attachments(attachments: list[Attachment], limit: int) -> list[AttachmentDocument]:
    # One decoded at a time, as long as not all of them are wanted.
    whole = 0 < sum(each.size for each in attachments) <= limit
    return [
        AttachmentDocument(
            each.filename, each.content_type, each.content_id, each.inline, each.size,
            each.content() if whole else None,
        )
        for each in attachments
    ]  # fmt: skip
