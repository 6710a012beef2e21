"""The mail as a handler sees it: what the server said at once, what MIME says when asked."""

import io
from datetime import UTC, datetime
from typing import Any, BinaryIO

from fastmail_ingest.model.blob import BlobSource
from fastmail_ingest.model.envelope import Envelope
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mime import Address, Attachment, ParsedMail, parse

__all__ = ["Address", "Attachment", "Email"]


class Email:
    """One mail. Nothing is parsed before `subject`, `text` or another MIME property is read.

    `id` is the same whenever this mail comes again, so a unique key on it makes a handler's effect
    happen exactly once; `attempt` is above 1 if a handler may have seen the mail before.
    """

    __slots__ = ("_blobs", "_envelope", "_notes", "_parsed", "attempt", "lane")
    _notes: dict[str, Any]  # not there before it is used: few mails have any

    def __init__(
        self,
        envelope: Envelope,
        attempt: int = 1,
        lane: Lane = Lane.LIVE,
        blobs: BlobSource | None = None,
    ) -> None:
        """`blobs` is where the bytes of a large mail are; without it only its beginning can be seen."""
        self._envelope = envelope
        self._blobs = blobs
        self._parsed: ParsedMail | None = None
        self.attempt = attempt
        self.lane = lane

    def __repr__(self) -> str:
        return f"<Email {self.id} attempt={self.attempt} size={self.size}>"

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
        """When the server received it, in UTC; None if it did not say."""
        stamp = self._envelope.internal_date
        return datetime.fromtimestamp(stamp, UTC) if stamp else None

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
    def correlation_id(self) -> str:
        """32 hex digits (W3C trace-id) that stand in every log line about this mail."""
        return self._envelope.trace_id

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

    # --- what MIME says ------------------------------------------------------------------------

    @property
    def parsed(self) -> ParsedMail:
        """All of MIME at once; parsed on first use and kept."""
        if self._parsed is None:
            self._parsed = parse(self.raw)
        return self._parsed

    @property
    def subject(self) -> str:
        """The decoded subject; empty if there is none."""
        return self.parsed.subject

    @property
    def sender(self) -> str:
        """The address in From, local@domain; empty if there is none that can be read."""
        sender = self.parsed.sender
        return sender.address if sender is not None else ""

    @property
    def sender_name(self) -> str:
        """The display name in From; empty if there is none."""
        sender = self.parsed.sender
        return sender.name if sender is not None else ""

    @property
    def to(self) -> list[Address]:
        """The addresses in To."""
        return self.parsed.to

    @property
    def cc(self) -> list[Address]:
        """The addresses in Cc."""
        return self.parsed.cc

    @property
    def reply_to(self) -> list[Address]:
        """The addresses in Reply-To."""
        return self.parsed.reply_to

    @property
    def date(self) -> datetime | None:
        """The Date header; None if it cannot be read. It is the sender's claim, not a fact."""
        return self.parsed.date

    @property
    def message_id(self) -> str:
        """The Message-ID header without angle brackets; a hint only, senders reuse it."""
        return self.header("Message-ID").strip().strip("<>")

    @property
    def text(self) -> str:
        """The text/plain parts; empty for a mail that has only HTML."""
        return self.parsed.text

    @property
    def html(self) -> str:
        """The text/html parts; empty if there are none. Written by a stranger: escape or sanitise."""
        return self.parsed.html

    @property
    def headers(self) -> dict[str, list[str]]:
        """Every value of every header, names as written."""
        return self.parsed.headers

    @property
    def attachments(self) -> list[Attachment]:
        """The other parts; `attachment.content()` decodes."""
        return self.parsed.attachments

    @property
    def defects(self) -> list[str]:
        """What was damaged in this mail and repaired or left out; empty for a sound mail."""
        return self.parsed.defects

    def header(self, name: str, default: str = "") -> str:
        """The first value of a header, whatever the case of its name."""
        wanted = name.lower()
        for written, values in self.parsed.headers.items():
            if written.lower() == wanted and values:
                return values[0]
        return default
