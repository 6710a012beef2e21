"""The handler `log`: one line a mail, for a first look and for a trail of what came."""

import logging

from fastmail_ingest.model.classification import CLASSIFICATION, Classification
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.scope import fields

_log = logging.getLogger("fastmail_ingest.handler")


def log(email: Email) -> None:
    """Write one line at level info: who, what, how large; with `[logging] format = "json"` field by field.

    Guarantee: each mail at least once; a line comes again if the worker dies right after it. Never a word
    of the body, nor an attachment's name.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    mail: dict[str, object] = {
        "id": email.id,
        "attempt": email.attempt,
        "account": email.account,
        "mailbox": email.mailbox,
        "sender": email.sender,
        "subject": email.subject,
        "size": email.size,
        "attachments": len(email.attachments),
    }
    classes, found = "", email.notes.get(CLASSIFICATION)
    if isinstance(found, Classification):
        mail |= {"priority": found.priority, "categories": found.categories, "problems": found.problems}
        classes = f" [{', '.join((found.priority, *found.categories, *found.problems))}]"
    _log.info(
        "mail %s from %s: %s (%d bytes, %d attachments)%s",
        email.id, email.sender or "nobody", email.subject or "(no subject)", email.size,
        mail["attachments"], classes,
        extra={"mail": mail, **fields(email)},
    )  # fmt: skip
