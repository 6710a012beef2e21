"""Splits an mbox into its mails, as it streams by.

A line that begins with "From " behind an empty line begins a mail (RFC 4155 appendix A; qmail's mbox(5)).
In mboxo and mboxrd such lines within a mail are quoted with ">". In mboxcl2 they are not, and a header,
Content-Length, tells where the mail ends: it is believed where the file's first mail has a true one, and only
where the next mail begins just there.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from fastmail_ingest.errors import ArchiveError

BLOCK_BYTES = 256 * 1024
KEEP_BYTES = 256 * 1024  # of a mail that is too large

_MARK = b"\nFrom "
_WORD = b"From "
_QUOTE = b">From "
_LINE_MAX = 1000  # bytes of a "From " line
# asctime, with or without a zone, before or behind the year: a time of day, and a year, with words around.
DATED = re.compile(
    rb"From [^\r\n]*\d{1,2}:\d\d[^\r\n]*(?<!\d)(?:19|20)\d\d(?!\d)|From [^\r\n]*(?:19|20)\d\d-\d\d"
)
_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,12})[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
_NEXT = re.compile(rb"((?:\r?\n)*)(From )?")
_HEAD_MAX = 64 * 1024

Read = Callable[[int], bytes]
"""Gives up to so many bytes, b"" at the end. Raises ArchiveError where it cannot be read on."""


class Piece(msgspec.Struct, gc=False):
    """One mail as it stands in the file: its "From " line, its bytes, and the position behind it.

    `size` is that of the whole mail, also when only its beginning was kept (`cut`). `quoted`: there may be
    lines in it that were quoted because they begin with "From ".
    """

    line: bytes
    raw: bytes
    end: int
    size: int
    cut: bool = False
    quoted: bool = False


class Rules(NamedTuple):
    """How an mbox is split: its first mail tells, also when we go on in its middle.

    `dated`: "From " lines bear a date; `has_lengths`: Content-Length is to be believed.
    """

    dated: bool
    has_lengths: bool


class Splitter:
    """Reads one mbox that begins at `position` of something larger, or goes on from there by its `rules`."""

    def __init__(self, read: Read, position: int, max_mail: int, rules: Rules | None = None) -> None:
        self._read = read
        self._max_mail = max_mail
        self._buffer = bytearray()
        self._base = position  # of the buffer's first byte
        self._at_end = False
        self._broken: ArchiveError | None = None
        self._rules = rules

    def pieces(self) -> Iterator[Piece]:
        """The mails one after the other; nothing if there is no "From " line at the beginning.

        Where `read` raises ArchiveError, it comes after all mails that are whole: those that another follows.
        """
        while self._fill(len(_MARK)):
            line_end = self._line_end(0)
            if not self._buffer.startswith(b"From "):
                break
            self.rules()
            piece = self._piece(line_end)
            yield piece
            del self._buffer[: piece.end - self._base]
            self._base = piece.end
        self._check()

    def _check(self) -> None:
        """What is in the buffer may be half of something."""
        if self._broken is not None:
            raise self._broken

    def rules(self) -> Rules:
        """The rules by which it is split: without them, the mail at our position is the first, and tells.

        What `read` raises goes through.
        """
        if self._rules is None:
            line_end = self._line_end(0)
            dated = DATED.match(self._buffer, 0, line_end) is not None
            self._rules = Rules(dated, self._told_end(line_end) is not None)
        return self._rules

    def _piece(self, start: int) -> Piece:
        """The mail whose text begins at `start` of the buffer."""
        told = self._told_end(start) if self.rules().has_lengths else None
        if told is not None:
            return self._made(start, *told)
        at, quoted = start, False
        while True:
            # One search for both: the ends of mails, and what is quoted. It is what splitting costs.
            found = self._buffer.find(_WORD, at)
            if found < 0:
                if self._at_end:
                    return self._last(start, quoted)
                # What may be the beginning of the word is looked at again.
                at = max(start, len(self._buffer) - len(_WORD) + 1)
                if len(self._buffer) - start > self._max_mail + _LINE_MAX:
                    return self._too_large(start)
                self._more()
                continue
            at = found + 1
            if self._buffer.startswith(_QUOTE, found - 1):
                quoted = True
            elif self._buffer.startswith(_MARK, found - 1):
                end = self._ends_before(found - 1, start)
                if end is not None:
                    return self._made(start, end, found, quoted=quoted)

    def _ends_before(self, mark: int, start: int) -> int | None:
        """Where the mail ends if the mark is that of the next one: before the empty line. Else None."""
        buffer = self._buffer
        if buffer[mark - 1 : mark] == b"\n":
            end = mark
        elif buffer[mark - 2 : mark] == b"\n\r":
            end = mark - 1
        else:
            return None
        if self.rules().dated:
            # No further than a "From " line goes: the rest of a mail may be one line, made to keep us busy.
            line_end = self._line_end(mark + 1)
            if not DATED.match(self._buffer, mark + 1, line_end):
                return None
        return max(end, start)

    def _made(self, start: int, end: int, follows: int, *, quoted: bool = False) -> Piece:
        with memoryview(self._buffer) as view:
            return Piece(
                bytes(view[:start]), bytes(view[start:end]), self._base + follows, end - start, quoted=quoted
            )

    def _last(self, start: int, quoted: bool) -> Piece:
        self._check()
        end = len(self._buffer)
        if self._buffer.endswith(b"\n\n"):
            end -= 1
        elif self._buffer.endswith(b"\n\r\n"):
            end -= 2
        return self._made(start, max(end, start), len(self._buffer), quoted=quoted)

    # --- mails that are too large ------------------------------------------------------------------

    def _too_large(self, start: int) -> Piece:
        """Go on to the next mail and keep only the beginning of this one."""
        line, kept = bytes(self._buffer[:start]), bytes(self._buffer[start : start + KEEP_BYTES])
        begin = self._base + start
        while not (ends := self._next_end()):
            # Two bytes before a mark tell whether it counts.
            self._forget(max(0, len(self._buffer) - len(_MARK) - 2))
            self._more()
        end, follows = ends
        size = self._base + end - begin
        self._forget(follows)
        return Piece(line, kept, self._base, size, cut=True, quoted=_QUOTE in kept)

    def _next_end(self) -> tuple[int, int] | None:
        """Where the mail in the buffer ends and the next begins; None if that is not in it."""
        found = self._buffer.find(_MARK, 2)
        while found >= 0:
            end = self._ends_before(found, 2)
            if end is not None:
                return end, found + 1
            found = self._buffer.find(_MARK, found + 1)
        if not self._at_end:
            return None
        self._check()
        return len(self._buffer), len(self._buffer)

    def _forget(self, count: int) -> None:
        del self._buffer[:count]
        self._base += count

    # --- mails that tell their length --------------------------------------------------------------

    def _told_end(self, start: int) -> tuple[int, int] | None:
        """Where this mail ends and the next begins by its Content-Length, if that is true."""
        told = self._length_of(start)
        follows = self._next_after(told) if told is not None and told - start <= self._max_mail else None
        if told is not None and follows is None and told + len(_MARK) > len(self._buffer):
            self._check()  # it may be true, and then no "From " line within counts
        return None if told is None or follows is None else (told, follows)

    def _next_after(self, told: int) -> int | None:
        """Where the next mail begins, or the file ends, if only empty lines are before that."""
        self._fill(told + _LINE_MAX)
        found = _NEXT.match(self._buffer, told)
        if found is None or told > len(self._buffer):
            return None
        follows = found.end(1)
        if found[2]:
            # At the beginning of a line, or it is a word of this mail.
            return follows if self._buffer[follows - 1 : follows] == b"\n" else None
        at_end = self._at_end and self._broken is None
        return follows if at_end and follows == len(self._buffer) else None

    def _length_of(self, start: int) -> int | None:
        self._fill(start + _HEAD_MAX)
        head = _HEAD_END.search(self._buffer, start, start + _HEAD_MAX)
        told = _LENGTH.search(self._buffer, start, head.end()) if head else None
        return head.end() + int(told[1]) if head and told else None

    # --- the buffer --------------------------------------------------------------------------------

    def _line_end(self, at: int) -> int:
        """Where the line at `at` ends, its line break included; cut off after _LINE_MAX bytes."""
        self._fill(at + _LINE_MAX)
        found = self._buffer.find(b"\n", at, at + _LINE_MAX)
        return found + 1 if found >= 0 else min(len(self._buffer), at + _LINE_MAX)

    def _fill(self, count: int) -> bool:
        """Have so many bytes in the buffer, or all there are; False if there is none."""
        while len(self._buffer) < count and not self._at_end:
            self._more()
        return len(self._buffer) > 0

    def _more(self) -> None:
        try:
            block = self._read(BLOCK_BYTES)
        except ArchiveError as error:
            self._broken, block = error, b""
        self._at_end = not block
        self._buffer += block
