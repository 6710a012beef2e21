"""What our parser is compared with: the stdlib's compat32 parser, as a handler would use it."""

import email as stdlib_email
import email.header
import email.message
import email.utils


def read(raw: bytes) -> tuple[str, tuple[str, str], str]:
    """Decoded subject, parsed sender, text; raises what the stdlib raises for some mails."""
    message = stdlib_email.message_from_bytes(raw)
    subject = str(email.header.make_header(email.header.decode_header(str(message.get("Subject", "")))))
    sender = email.utils.parseaddr(str(message.get("From", "")))
    parts = (part for part in message.walk() if part.get_content_type() == "text/plain")
    return subject, sender, "\n".join(_text(part) for part in parts if not part.get_filename())


def _text(part: email.message.Message) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode(part.get_content_charset("utf-8"), "replace") if isinstance(payload, bytes) else ""
