"""What a mail server says about a mail that it could, or could not yet, deliver (RFC 3464)."""

import email.parser
import re
from email.message import Message

import msgspec

from fastmail_ingest.model.mime.header_text import words_decoded

_RECIPIENTS_MAX = 500
_BYTES_MAX = 256 * 1024
_GROUP_END = re.compile(rb"\r?\n[ \t]*\r?\n")


class RecipientStatus(msgspec.Struct, frozen=True):
    """What became of a mail for one of its recipients; absent fields are empty."""

    recipient: str  # the address the server tried
    original_recipient: str  # the address the sender wrote, if it told the server
    action: str  # failed, delayed, delivered, relayed or expanded (RFC 3464, 2.3.3)
    status: str  # e.g. 5.1.1: unknown mailbox (RFC 3463)
    diagnostic: str  # what the other server said, e.g. "550 5.1.1 unknown user"
    remote_mta: str  # the other server

    @property
    def is_permanent(self) -> bool:
        """Whether another mail to this address is of no use: the status is 5.x.x (RFC 3463, 2)."""
        return self.status.startswith("5")


class DeliveryReport(msgspec.Struct, frozen=True):
    """A delivery status notification; of more than 500 recipients it names the first."""

    reporting_mta: str
    message_id: str  # of the mail it is about, without angle brackets; empty if it is not enclosed
    recipients: list[RecipientStatus]

    @property
    def failed(self) -> list[RecipientStatus]:
        """Whom the mail did not reach; no server tries again."""
        return [each for each in self.recipients if each.action == "failed"]


def delivery_report(status: bytes, returned: bytes) -> DeliveryReport | None:
    """The report in a message/delivery-status part; None if it names no recipient.

    `returned` is the enclosed mail or its headers.
    """
    groups = [
        _fields(group) for group in _GROUP_END.split(status[:_BYTES_MAX].strip())[: _RECIPIENTS_MAX + 1]
    ]
    recipients = [_recipient(group) for group in groups if group["Final-Recipient"] or group["Action"]]
    if not recipients:
        return None
    reporting = next((group for group in groups if group["Reporting-MTA"]), None)
    message_id = _fields(_GROUP_END.split(returned[:_BYTES_MAX].lstrip(), 1)[0])["Message-ID"]
    return DeliveryReport(
        reporting_mta=_typed(reporting, "Reporting-MTA") if reporting else "",
        message_id=words_decoded(str(message_id or "")).strip().strip("<>"),
        recipients=recipients,
    )


def _fields(group: bytes) -> Message:
    return email.parser.HeaderParser().parsestr(group.decode("utf-8", "replace"))


def _recipient(group: Message) -> RecipientStatus:
    return RecipientStatus(
        recipient=_typed(group, "Final-Recipient"),
        original_recipient=_typed(group, "Original-Recipient"),
        action=_plain(group, "Action").lower(),
        status=_plain(group, "Status").partition(" ")[0],
        diagnostic=_typed(group, "Diagnostic-Code"),
        remote_mta=_typed(group, "Remote-MTA"),
    )


def _plain(group: Message, name: str) -> str:
    return " ".join(words_decoded(str(group[name] or "")).split())


def _typed(group: Message, name: str) -> str:
    """A value without its type, e.g. `rfc822;` (RFC 3464, 2.1.2), and without angle brackets."""
    value = _plain(group, name)
    kind, semicolon, rest = value.partition(";")
    return (rest if semicolon and kind.strip().replace("-", "").isalnum() else value).strip().strip("<>")
