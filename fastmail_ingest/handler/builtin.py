"""The handlers that come with the package and need no configuration."""

from fastmail_ingest.handler.log import log
from fastmail_ingest.model.email import Email

__all__ = ["log", "noop"]


def noop(email: Email) -> None:
    """Do nothing: for measuring what is around a handler."""
