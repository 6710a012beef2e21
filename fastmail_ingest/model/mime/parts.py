"""All parts of a mail, each decoded when its content is asked for, and read once more if it is damaged."""

from itertools import islice

import fast_mail_parser

from fastmail_ingest.model.mime.bounds import PARTS_MAX, Bounded
from fastmail_ingest.model.mime.fast_parts import fast_parts
from fastmail_ingest.model.mime.header_text import BROKEN
from fastmail_ingest.model.mime.lazy import lazy
from fastmail_ingest.model.mime.part import Part, Undecodable
from fastmail_ingest.model.mime.stdlib_parts import stdlib_parts
from fastmail_ingest.model.mime.traps import is_plain


class Parts:
    """The leaves of the MIME tree, by number.

    Attachments hold this, and not the mail that holds them: a mail that goes must not wait for the
    garbage collector.
    """

    def __init__(self, bounded: Bounded) -> None:
        self._whole = bounded.whole
        self.defects = bounded.defects
        self._tree: fast_mail_parser.PyLazyMimePart | None = None
        if is_plain(bounded.head, bounded.whole):
            try:
                self._tree = fast_mail_parser.parse_email_tree(bounded.whole, mode="lazy")
            except fast_mail_parser.ParseError as error:
                self.defects.append(f"parts: {error}")

    @property
    def headers(self) -> dict[str, list[str]]:
        """The mail's headers as fast-mail-parser decodes them; empty if it did not read this mail."""
        return self._tree.headers if self._tree else {}

    @lazy
    def all(self) -> list[Part]:
        """The parts in their order."""
        parts = self._found_fast() or self._again
        if len(parts) > PARTS_MAX:
            self.defects.append(f"parts: more than {PARTS_MAX}, the rest is not read")
            del parts[PARTS_MAX:]
        return parts

    def name(self, number: int) -> str:
        """The name of its file, as its sender wrote it; empty if it has none."""
        name = self.all[number].filename
        if BROKEN in name:  # characters were split among the pieces of the name (RFC 2231, 3) or among words
            again = self._second_reading(number)
            return again.filename if again else name
        return name

    def content(self, number: int) -> tuple[bytes, str]:
        """The bytes without their transfer encoding, and what was damaged (empty: nothing)."""
        try:
            return self.all[number].read(), ""
        except Undecodable as error:
            again = self._second_reading(number)
            return again.read() if again else b"", f"parts: {error}"

    def content_of_type(self, *content_types: str) -> bytes | None:
        """The content of the first part of such a media type."""
        for number, part in enumerate(self.all):
            if part.content_type in content_types:
                return self.content(number)[0]
        return None

    def _found_fast(self) -> list[Part]:
        if self._tree is None:
            return []
        try:
            return list(islice(fast_parts(self._tree, self._whole), PARTS_MAX + 1))
        except Undecodable:
            return []

    def _second_reading(self, number: int) -> Part | None:
        """The same part as the stdlib sees it: slower, but it goes on where the other gives up."""
        again = self._again[:PARTS_MAX]
        same = [each.content_type for each in again] == [each.content_type for each in self.all]
        return again[number] if same else None

    @lazy
    def _again(self) -> list[Part]:
        return list(islice(stdlib_parts(self._whole, self.defects), PARTS_MAX + 1))
