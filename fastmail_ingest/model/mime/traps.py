"""Mails that would keep the fast parser busy for seconds, and so are read by the stdlib.

fast-mail-parser 0.10 looks for the end of an encoded-word (RFC 2047) through all that follows, again for
each "=?" that begins none: time grows with the third power of their number in a header, and 32 KB took 9 s.
It takes messages within the mail apart, too, and copies each of them: 250 around 1 MB took 370 MB.
"""

import re

# In one header; 200 take 10 ms.
_BROKEN_WORDS_MAX = 200
_PART_WORDS_MAX = 200
_MESSAGES_MAX = 30
_BEGINS_NO_WORD = re.compile(rb"=\?(?![A-Za-z0-9_.:*'+-]{1,60}\?[bBqQ]\?[^?\s]{0,1000}\?=)")
_BOUNDARIES_MAX = 50
_BOUNDARY = re.compile(rb"""boundary=(?:"([^"\\\r\n]{1,200})"|([^\s;"'\\()<>@,:?=\[\]]{1,200}))""")
_BOUNDARY_WORD = re.compile(rb"boundary\s*[*=]")
_HOLDS_PARTS = re.compile(rb"content-type:\s*(?:\([^)]*\)\s*)?(?:multipart|message)/")
_IS_MESSAGE = re.compile(rb"content-type:\s*(?:\([^)]*\)\s*)?message/rfc822")
_BLANK_LINE = re.compile(rb"\n\r?\n")


def has_trap(head: bytes) -> bool:
    """Whether a header block has too many beginnings of words that are none."""
    if len(head) <= 2 * _BROKEN_WORDS_MAX or head.count(b"=?") <= _BROKEN_WORDS_MAX:
        return False
    return len(_BEGINS_NO_WORD.findall(head)) > _BROKEN_WORDS_MAX


def has_trap_in_parts(head: bytes, whole: bytes) -> bool:
    """Whether the headers of the parts, or of messages within the mail, have one; `head` begins `whole`."""
    kind = head.lower()
    if not _HOLDS_PARTS.search(kind):
        return False
    found = _Found()
    found.look(whole, 0, len(head))
    searched = 0
    while not found.trap and searched < len(found.delimiters):
        delimiter, at = found.delimiters[searched]
        searched += 1
        while not found.trap and (at := whole.find(delimiter, at)) >= 0:
            at += 1
            found.look(whole, at, _block_end(whole, at))
    return found.trap


class _Found:
    """What the header blocks had in all."""

    def __init__(self) -> None:
        self.delimiters: list[tuple[bytes, int]] = []  # what begins a part, and where to search for it
        self.words = 0
        self.messages = 0
        self.trap = False

    def look(self, whole: bytes, begin: int, end: int) -> None:
        """Count in a block, and in those of messages that begin right behind it."""
        while not self.trap:
            block = whole[begin:end]
            lowered = block.lower()
            is_message = _IS_MESSAGE.search(lowered) is not None
            self.words += block.count(b"=?") if begin else 0
            self.messages += is_message
            if b"boundary" in lowered:
                self._bound(block, lowered, end)
            self.trap |= (
                self.words > _PART_WORDS_MAX
                or self.messages > _MESSAGES_MAX
                # What is in the headers of these cannot be seen from here.
                or b"multipart/digest" in lowered
                or (is_message and (b"base64" in lowered or b"quoted-printable" in lowered))
            )
            if not is_message or end >= len(whole):
                break
            begin, end = end, _block_end(whole, end + 2)

    def _bound(self, block: bytes, lowered: bytes, end: int) -> None:
        """A boundary that is written in a way that parsers read differently is as good as hidden."""
        matches = list(_BOUNDARY.finditer(lowered))
        for match in matches:
            delimiter = (
                b"\n--" + block[match.start(match.lastindex or 0) : match.end(match.lastindex or 0)].rstrip()
            )
            self.delimiters.append((delimiter, end - 1))
        self.trap = (
            len(matches) != len(_BOUNDARY_WORD.findall(lowered)) or len(self.delimiters) > _BOUNDARIES_MAX
        )


def _block_end(whole: bytes, begin: int) -> int:
    blank = _BLANK_LINE.search(whole, begin)
    return blank.start() if blank else len(whole)
