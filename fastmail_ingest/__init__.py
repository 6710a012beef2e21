"""fastmail-ingest: every mail of your mailboxes reaches your Python handler, whatever crashes.

What a handler needs: `Email` (what it is given), `Retry` and `Reject` (what it may raise),
`batch_handler` (marks a handler that takes a list of mails) and `CircuitBreaker` (guards what it calls,
and raises `CircuitOpen` while that is down).
"""

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.model.email import Address, Attachment, Email
from fastmail_ingest.model.handler import batch_handler

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Attachment",
    "CircuitBreaker",
    "CircuitOpen",
    "Email",
    "Reject",
    "Retry",
    "batch_handler",
]
