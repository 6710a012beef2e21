"""fastmail-ingest: every mail of your mailboxes reaches your Python handler, whatever crashes.

What a handler needs: `Email` (what it is given), `Retry` and `Reject` (what it may raise) and
`batch_handler` (marks a handler that takes a list of mails).
"""

from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.model.email import Address, Attachment, Email
from fastmail_ingest.model.handler import batch_handler

__version__ = "0.1.0"

__all__ = ["Address", "Attachment", "Email", "Reject", "Retry", "batch_handler"]
