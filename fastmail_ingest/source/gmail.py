"""What Gmail has beyond IMAP (Google's "IMAP extensions"), and a setting of it that hides mails from us."""

import logging

from fastmail_ingest.source.wire import WiredClient

ITEMS = ("X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS")
# "Limit IMAP folders to contain no more than this many messages": the choices of Gmail's settings.
_CAPS = (1_000, 2_000, 5_000, 10_000)

_log = logging.getLogger(__name__)


def is_spoken_by(client: WiredClient) -> bool:
    """Whether the server has Gmail's extensions."""
    return bool(client.has_capability("X-GM-EXT-1"))


def warn_of_cap(client: WiredClient, mailbox: str, exists: int) -> None:
    """Tell of a folder that has just as many mails as the user may have limited it to."""
    if exists in _CAPS and is_spoken_by(client):
        _log.warning(
            "%s has exactly %d mails. If that is the limit set in Gmail (Settings > Forwarding and "
            "POP/IMAP > Folder size), older mails are hidden. remedy: lift the limit",
            mailbox, exists,
        )  # fmt: skip
