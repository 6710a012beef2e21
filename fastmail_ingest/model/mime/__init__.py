"""Raw bytes of a mail to what they say. A mail is untrusted: damage becomes a defect, never an exception.

    raw ── bounds ──► head ─────► subject, addresses, date, headers
                 └──► parts ────► text, html, attachments, delivery report

Both are read by fast-mail-parser (Rust), and what it refuses by the stdlib's compat32 parser. Never
`email.policy.default`: crafted headers make it raise (cpython#148518) or stall for seconds.
"""

from fastmail_ingest.model.mime.address import Address
from fastmail_ingest.model.mime.attachment import Attachment
from fastmail_ingest.model.mime.mail import Mail

__all__ = ["Address", "Attachment", "Mail"]
