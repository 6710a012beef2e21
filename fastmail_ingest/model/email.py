"""The mail as a handler sees it: what the server said at once, what MIME says when asked."""

import io
from datetime import UTC, datetime
from typing import Any, BinaryIO

from multidict import CIMultiDictProxy

from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.model.envelope import Envelope
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mime import Address, Attachment, Mail, signs
from fastmail_ingest.model.mime.delivery_report import DeliveryReport, RecipientStatus
from fastmail_ingest.model.mime.header_text import one_line
from fastmail_ingest.model.traced import Traced

__all__ = ["Address", "Attachment", "DeliveryReport", "Email", "RecipientStatus"]

_PREVIEW_CHARS = 200


class Email(Traced):
    """One mail. Nothing is parsed before `subject`, `text` or another property needs it, and nothing raises
    for what is in it: what cannot be read is empty or None, and `defects` says so.

    `id` is the same whenever this mail comes again, so a unique key on it makes a handler's effect
    happen exactly once; `attempt` is above 1 if a handler may have seen the mail before.
    """

    __slots__ = ("_blobs", "_notes", "_parsed", "attempt", "lane")
    _notes: dict[str, Any]  # not there before it is used: few mails have any

    def __init__(
        self,
        envelope: Envelope,
        attempt: int = 1,
        lane: Lane = Lane.LIVE,
        blobs: BlobSource | None = None,
    ) -> None:
        """`blobs` is where the bytes of a large mail are; without it only its beginning can be seen."""
        if envelope.__class__ is not Envelope:
            raise TypeError(
                f"an Email is made by a worker, not of {type(envelope).__name__}. remedy: "
                "fastmail_ingest.testing.make_email(bytes, a path or an EmailMessage)"
            )
        self._envelope = envelope
        self._blobs = blobs
        self._parsed: Mail | None = None
        self.attempt = attempt
        self.lane = lane

    def __repr__(self) -> str:
        known = f"{self.id} attempt={self.attempt} size={self.size}"
        if self._parsed is None and self._envelope.blob:  # not worth reading a large file
            return f"<Email {known}>"
        return f"<Email {known} from={_short(self.sender)} subject={_short(self.subject)}>"

    @property
    def notes(self) -> dict[str, Any]:
        """What a handler tells those behind it in the chain, by name; kept for this one call only."""
        try:
            return self._notes
        except AttributeError:
            self._notes = {}
            return self._notes

    # --- what the mail server said -------------------------------------------------------------

    @property
    def id(self) -> str:
        """The ledger's name for this mail; see docs of `fastmail_ingest.model.identity`."""
        return self._envelope.id

    @property
    def account(self) -> str:
        """The account's name in the configuration."""
        return self._envelope.account

    @property
    def mailbox(self) -> str:
        """The mailbox it was fetched from, e.g. INBOX."""
        return self._envelope.mailbox

    @property
    def uid(self) -> int:
        """The UID in that mailbox (RFC 9051 2.3.1.1)."""
        return self._envelope.uid

    @property
    def flags(self) -> tuple[str, ...]:
        r"""IMAP flags when it was fetched, e.g. `\\Seen`."""
        return self._envelope.flags

    @property
    def labels(self) -> tuple[str, ...]:
        """Gmail's labels; empty elsewhere."""
        return self._envelope.labels

    @property
    def thread_id(self) -> str:
        """Gmail's X-GM-THRID or RFC 8474's THREADID; empty if the server has neither."""
        return self._envelope.thread_id

    @property
    def internal_date(self) -> datetime | None:
        """When the server received it, in UTC; None if it did not say, or a year that no calendar has."""
        stamp = self._envelope.internal_date
        try:
            return datetime.fromtimestamp(stamp, UTC) if stamp else None
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def fetched_at(self) -> datetime:
        """When we fetched it, in UTC."""
        return datetime.fromtimestamp(self._envelope.fetched_at, UTC)

    @property
    def size(self) -> int:
        """Bytes of the raw mail."""
        return self._envelope.size

    @property
    def content_hash(self) -> str:
        """32 hex digits that are equal for equal raw bytes."""
        return self._envelope.content_hash.hex()

    @property
    def raw(self) -> bytes:
        """The mail as the server gave it: headers, blank line, body.

        A large mail (above `[blobs] inline_limit`) is read from its file each time, as long as it is not
        settled: `open` reads it in pieces. Raises BlobUnavailable if that file is not there.
        """
        if not self._envelope.blob or self._blobs is None:
            return self._envelope.raw
        with self.open() as file:
            return file.read()

    def open(self) -> BinaryIO:
        """The raw mail as a file, to be read and closed; of a large mail only what is read takes memory."""
        if not self._envelope.blob or self._blobs is None:
            return io.BytesIO(self._envelope.raw)
        return self._blobs.open(self._envelope.blob)

    # --- what the headers say ------------------------------------------------------------------

    @property
    def _mail(self) -> Mail:
        """What is parsed of it; each property once, when it is first asked for."""
        if self._parsed is None:
            self._parsed = Mail(self.raw)
        return self._parsed

    @property
    def subject(self) -> str:
        """The decoded subject in one line; empty if there is none."""
        return self._mail.head.subject

    @property
    def from_(self) -> Address | None:
        """The first address in From; None if there is none that can be read. Anybody can write it."""
        return self._mail.head.from_

    @property
    def sender(self) -> str:
        """`from_.address`: local@domain, or an account's name alone; empty if there is none to be read."""
        sender = self.from_
        return sender.address if sender is not None else ""

    @property
    def sender_name(self) -> str:
        """`from_.name`; empty if there is none."""
        sender = self.from_
        return sender.name if sender is not None else ""

    @property
    def to(self) -> list[Address]:
        """The addresses in To."""
        return self._mail.head.to

    @property
    def cc(self) -> list[Address]:
        """The addresses in Cc."""
        return self._mail.head.cc

    @property
    def bcc(self) -> list[Address]:
        """The addresses in Bcc; there are some in mails of one's own, in drafts and in sent ones."""
        return self._mail.head.bcc

    @property
    def reply_to(self) -> list[Address]:
        """The addresses in Reply-To; an answer goes to `sender` if there are none."""
        return self._mail.head.reply_to

    @property
    def date(self) -> datetime | None:
        """The Date header in UTC; None if it cannot be read. It is the sender's claim, not a fact."""
        return self._mail.head.date

    @property
    def message_id(self) -> str:
        """The Message-ID header without angle brackets; a hint only, senders reuse it."""
        written = self.header("Message-ID")
        return next(iter(signs.message_ids(written)), written.strip().strip("<>"))

    @property
    def in_reply_to(self) -> str:
        """The message id of the mail that this one answers; empty if it answers none."""
        return next(iter(signs.message_ids(self.header("In-Reply-To"))), "")

    @property
    def references(self) -> list[str]:
        """The message ids of the mails before this one in its thread, the oldest first."""
        return signs.message_ids(" ".join(self.header_all("References")))

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Every header in its order, repeated ones, too; looked up in any case.

        `headers["Subject"]` is the first of its name, `headers.getall("Received", [])` are all of them,
        `headers.items()` is everything as it came. Values are decoded, each in one line.
        """
        return self._mail.head.headers

    def header(self, name: str, default: str = "") -> str:
        """The first value of a header, whatever the case of its name."""
        return self.headers.get(name, default)

    def header_all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return self.headers.getall(name, [])

    @property
    def is_auto_submitted(self) -> bool:
        """Whether a program sent it by itself, so that no answer is wanted: RFC 3834, 5, and older signs."""
        return signs.is_auto_submitted(self.headers) or self.delivery_report is not None

    @property
    def is_bulk(self) -> bool:
        """Whether it went to many: a mailing list (RFC 2919), a newsletter (RFC 2369), Precedence."""
        return signs.is_bulk(self.headers)

    # --- what the parts say --------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The text/plain parts, line ends as they came; empty for a mail that has only HTML."""
        return self._mail.text

    @property
    def html(self) -> str:
        """The text/html parts; empty if there are none. Written by a stranger: escape or sanitise."""
        return self._mail.html

    @property
    def body_text(self) -> str:
        """What a person would read: `text`, or else the text of `html`; lines end with LF."""
        return self._mail.body_text

    @property
    def preview(self) -> str:
        """The beginning of `body_text` in one line of at most 200 characters."""
        beginning = self.body_text.lstrip()[: 10 * _PREVIEW_CHARS]
        return one_line(" ".join(beginning.split()))[:_PREVIEW_CHARS]

    @property
    def attachments(self) -> list[Attachment]:
        """The other parts: files, pictures in the text (`inline`), enclosed mails (message/rfc822)."""
        return self._mail.attachments

    @property
    def delivery_report(self) -> DeliveryReport | None:
        """What a mail server says about a mail of ours (RFC 3464); None in any other mail."""
        return self._mail.delivery_report

    @property
    def is_bounce(self) -> bool:
        """Whether it says that a mail of ours did not arrive: an RFC 3464 report, or one in words only."""
        report = self.delivery_report
        if report is not None:
            return bool(report.failed)
        return signs.is_bounce_in_words(self.headers, self.sender)

    @property
    def defects(self) -> list[str]:
        """What was damaged in this mail and repaired or left out; empty for a sound mail."""
        return self._mail.defects


def _short(text: str, chars: int = 60) -> str:
    return repr(text if len(text) <= chars else f"{text[: chars - 1]}…")
