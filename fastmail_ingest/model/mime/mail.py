"""A mail that is parsed as far as it is asked."""

from collections.abc import Callable
from functools import cached_property
from itertools import islice

import fast_mail_parser

from fastmail_ingest.model.mime.attachment import Attachment
from fastmail_ingest.model.mime.bounds import PARTS_MAX, bounded
from fastmail_ingest.model.mime.charset import decoded
from fastmail_ingest.model.mime.delivery_report import DeliveryReport, delivery_report
from fastmail_ingest.model.mime.fast_parts import fast_parts
from fastmail_ingest.model.mime.head import Head
from fastmail_ingest.model.mime.header_text import BROKEN
from fastmail_ingest.model.mime.html_text import text_of_html
from fastmail_ingest.model.mime.part import Part, Undecodable
from fastmail_ingest.model.mime.stdlib_parts import stdlib_parts
from fastmail_ingest.model.mime.traps import has_trap, has_trap_in_parts

# A handler searches a text as a whole; "War and Peace" has 3 million characters. Attachments have no such
# limit: their contents are asked for one by one.
TEXT_CHARS_MAX = 8 * 1024 * 1024


class Mail:
    """What the headers and the parts of a mail say, decoded; nothing in it raises for what the mail is like.

    `head` has what the headers say.
    """

    def __init__(self, raw: bytes) -> None:
        self._bounded = bounded(raw)
        self._defects = self._bounded.defects
        self._tree: fast_mail_parser.PyLazyMimePart | None = None
        head, whole, _ = self._bounded
        if not has_trap(head) and not has_trap_in_parts(head, whole):
            try:
                self._tree = fast_mail_parser.parse_email_tree(whole, mode="lazy")
            except fast_mail_parser.ParseError as error:
                self._defects.append(f"parts: {error}")
        self.head = Head(self._bounded.head, self._tree.headers if self._tree else {}, self._defects)

    @cached_property
    def text(self) -> str:
        """The text/plain parts, a line apart; empty if there are none."""
        return self._text_of("text/plain")

    @cached_property
    def html(self) -> str:
        """The text/html parts, a line apart; empty if there are none."""
        return self._text_of("text/html")

    @cached_property
    def body_text(self) -> str:
        """The text, or else that of the HTML; lines end with LF."""
        text = self.text if self.text.strip() else ""
        if text or not self.html:
            return text.replace("\r\n", "\n").replace("\r", "\n")
        return text_of_html(self.html)

    @cached_property
    def attachments(self) -> list[Attachment]:
        """The parts that are not the text."""
        texts = frozenset(self._texts)
        return [self._attachment(number) for number in range(len(self._parts)) if number not in texts]

    @cached_property
    def delivery_report(self) -> DeliveryReport | None:
        """What its message/delivery-status part says; None without one."""
        status = self._content_of_type("message/delivery-status", "message/global-delivery-status")
        if status is None:
            return None
        returned = self._content_of_type("message/rfc822", "text/rfc822-headers", "message/rfc822-headers")
        return delivery_report(status, returned or b"")

    @property
    def defects(self) -> list[str]:
        """What was damaged and repaired or left out; reads everything but the attachments' contents."""
        head = self.head
        _ = head.from_, head.to, head.cc, head.bcc, head.reply_to, head.date, head.headers
        _ = self.text, self.html, self.attachments
        return list(self._defects)

    def _content_of_type(self, *content_types: str) -> bytes | None:
        """The content of the first part of such a media type."""
        for number, part in enumerate(self._parts):
            if part.content_type in content_types:
                return self._content(number)
        return None

    @cached_property
    def _parts(self) -> list[Part]:
        parts = self._found_fast() or self._again
        if len(parts) > PARTS_MAX:
            self._defects.append(f"parts: more than {PARTS_MAX}, the rest is not read")
            del parts[PARTS_MAX:]
        return parts

    def _found_fast(self) -> list[Part]:
        if self._tree is None:
            return []
        try:
            return list(islice(fast_parts(self._tree, self._bounded.whole), PARTS_MAX + 1))
        except Undecodable:
            return []

    @cached_property
    def _texts(self) -> list[int]:
        """Which parts are the text: the nameless ones, or, if all have names, those that are no files."""
        texts = [number for number, part in enumerate(self._parts) if part.is_text]
        return [number for number in texts if not self._parts[number].filename] or texts

    def _text_of(self, content_type: str) -> str:
        numbers = [each for each in self._texts if self._parts[each].content_type == content_type]
        texts = [self._decoded(number) for number in numbers]
        text = texts[0] if len(texts) == 1 else "\n".join(texts)
        if len(text) > TEXT_CHARS_MAX:
            self._defects.append(f"text: {len(text)} characters, only the first {TEXT_CHARS_MAX} are read")
            return text[:TEXT_CHARS_MAX]
        return text

    def _decoded(self, number: int) -> str:
        text, defect = decoded(self._content(number), self._parts[number].charset)
        if defect:
            self._defects.append(defect)
        return text

    def _attachment(self, number: int) -> Attachment:
        part = self._parts[number]
        inline = part.disposition == "inline" or (not part.disposition and bool(part.content_id))
        name = part.filename
        if BROKEN in name:  # characters were split among the pieces of the name (RFC 2231, 3) or among words
            again = self._second_reading(number)
            name = again.filename if again else name
        return Attachment(name, part.content_type, part.content_id, inline, self._reader(number))

    def _reader(self, number: int) -> Callable[[], bytes]:
        return lambda: self._content(number)

    def _content(self, number: int) -> bytes:
        try:
            return self._parts[number].read()
        except Undecodable as error:
            if (defect := f"parts: {error}") not in self._defects:
                self._defects.append(defect)
        again = self._second_reading(number)
        return again.read() if again else b""

    def _second_reading(self, number: int) -> Part | None:
        """The same part as the stdlib sees it: slower, but it goes on where the other gives up."""
        again = self._again
        same = [each.content_type for each in again[:PARTS_MAX]] == [
            each.content_type for each in self._parts
        ]
        return again[number] if same else None

    @cached_property
    def _again(self) -> list[Part]:
        return list(islice(stdlib_parts(self._bounded.whole, self._defects), PARTS_MAX + 1))
