"""The handlers that come with the package."""

import logging

from fastmail_ingest.model.email import Email

_log = logging.getLogger("fastmail_ingest.handler")


def noop(email: Email) -> None:
    """Do nothing: for measuring what is around a handler."""


def log(email: Email) -> None:
    """Write one line about the mail: the handler for a first look."""
    _log.info(
        "mail %s from %s: %s",
        email.id,
        email.sender or "nobody",
        email.subject or "(no subject)",
        extra={"correlation_id": email.correlation_id},
    )
