"""A mail that is parsed as far as it is asked."""

from fastmail_ingest.model.mime.attachment import Attachment
from fastmail_ingest.model.mime.bounds import bounded
from fastmail_ingest.model.mime.charset import decoded
from fastmail_ingest.model.mime.delivery_report import DeliveryReport, delivery_report
from fastmail_ingest.model.mime.head import Head
from fastmail_ingest.model.mime.html_text import HTML_CHARS_MAX, text_of_html
from fastmail_ingest.model.mime.lazy import lazy
from fastmail_ingest.model.mime.parts import Parts

# A handler searches a text as a whole; "War and Peace" has 3 million characters. Attachments have no such
# limit: their contents are asked for one by one.
TEXT_CHARS_MAX = 8 * 1024 * 1024


class Mail:
    """What the headers and the parts of a mail say, decoded; nothing in it raises for what the mail is like.

    `head` has what the headers say.
    """

    def __init__(self, raw: bytes) -> None:
        within = bounded(raw)
        self._defects = within.defects
        self._parts = Parts(within)
        self.head = Head(within.head, self._parts.headers, within.defects)

    @lazy
    def text(self) -> str:
        """The text/plain parts, a line apart; empty if there are none."""
        return self._text_of("text/plain")

    @lazy
    def html(self) -> str:
        """The text/html parts, a line apart; empty if there are none."""
        return self._text_of("text/html")

    @lazy
    def body_text(self) -> str:
        """The text, or else that of the HTML; lines end with LF."""
        if self.text.strip() or not self.html:
            return self.text.replace("\r\n", "\n").replace("\r", "\n")
        return text_of_html(self.html)

    @lazy
    def attachments(self) -> list[Attachment]:
        """The parts that are not the text."""
        parts, texts = self._parts, frozenset(self._texts)
        return [Attachment(parts, number) for number in range(len(parts.all)) if number not in texts]

    @lazy
    def delivery_report(self) -> DeliveryReport | None:
        """What its message/delivery-status part says; None without one."""
        status = self._parts.content_of_type("message/delivery-status", "message/global-delivery-status")
        if status is None or not self._is_report():
            return None
        returned = self._parts.content_of_type("message/rfc822", "text/rfc822-headers", "message/global")
        return delivery_report(status, returned or b"")

    def _is_report(self) -> bool:
        """Whether it comes from a mail server: a person may enclose the words of one, too."""
        headers, sender = self.head.headers, self.head.from_
        return (
            headers.get("Content-Type", "").lower().startswith(("multipart/report", "message/"))
            or headers.get("Return-Path", "").strip() == "<>"
            or (sender is not None and sender.address.lower().startswith(("mailer-daemon", "postmaster")))
        )

    @lazy
    def defects(self) -> list[str]:
        """What was damaged and repaired or left out, sorted; reads all but the attachments' contents."""
        head = self.head
        _ = head.from_, head.to, head.cc, head.bcc, head.reply_to, head.date, head.headers
        _ = self.text, self.html, self.attachments
        if len(self.html) > HTML_CHARS_MAX and not self.text.strip():
            self._defects.append(f"html: {len(self.html)} characters, body_text is of {HTML_CHARS_MAX}")
        return sorted(set(self._defects))

    @lazy
    def _texts(self) -> list[int]:
        """Which parts are the text: the nameless ones, or, if all have names, those that are no files."""
        texts = [number for number, part in enumerate(self._parts.all) if part.is_text]
        return [number for number in texts if not self._parts.all[number].filename] or texts

    def _text_of(self, content_type: str) -> str:
        numbers = [each for each in self._texts if self._parts.all[each].content_type == content_type]
        texts = [self._decoded(number) for number in numbers]
        text = texts[0] if len(texts) == 1 else "\n".join(texts)
        if len(text) > TEXT_CHARS_MAX:
            self._defects.append(f"text: {len(text)} characters, only the first {TEXT_CHARS_MAX} are read")
            return text[:TEXT_CHARS_MAX]
        return text

    def _decoded(self, number: int) -> str:
        content, damage = self._parts.content(number)
        text, mislabelled = decoded(content, self._parts.all[number].charset)
        self._defects += filter(None, (damage, mislabelled))
        return text
