"""Mends what fast-mail-parser 0.10 makes of quoted-printable (RFC 2045, 6.7).

It drops the bytes above 127 that programs write nevertheless, and it ends a line that was to go on ("=") if
that is the last of its part, as in every mail of Apple's.
"""

import binascii
import re

from fastmail_ingest.model.mime.lazy import lazy
from fastmail_ingest.model.mime.part import Undecodable

_GOES_ON = (b"=\r\n", b"=\n")
_GOES_ON_BEFORE_DELIMITER = (b"=\r\n\r\n--", b"=\n\n--")
_DELIMITERS = (b"\r\n--", b"\n--")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_WHITE_LINE_ENDS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_ABOVE_127 = bytes(range(128, 256))
# Each looks through the whole mail, or decodes a part that may be as long.
_TRIES_MAX = 40


class Travelled:
    """The parts of a mail as they travelled: only their sizes are known, so these are searched for."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole
        self._tries = 0

    @lazy
    def is_ascii(self) -> bool:
        """Whether there is no byte above 127 in the mail."""
        return self.whole.isascii()

    def mended(self, content: bytes, size: int) -> bytes:
        """What a part says; `content` is what fast-mail-parser says of it, `size` that of its body, encoded.

        Raises Undecodable if it is not found again.
        """
        if self.is_ascii and not (content.endswith(b"\n") and self._one_goes_on):
            return content
        return self._read_again(content, size)

    @lazy
    def _one_goes_on(self) -> bool:
        """Whether there is a part whose last line was to go on."""
        first = self.whole.find(b"\n")
        end = _GOES_ON_BEFORE_DELIMITER[0 if self.whole[first - 1 : first] == b"\r" else 1]
        return self.whole.endswith(_GOES_ON) or end in self.whole

    def _read_again(self, content: bytes, size: int) -> bytes:
        self._tries += 1
        for blank in _BLANK_LINE.finditer(self.whole):
            begin, end = blank.end(), blank.end() + size
            if self._tries > _TRIES_MAX:
                break
            if end == len(self.whole) or self.whole.startswith(_DELIMITERS, end):
                self._tries += 1
                body = self.whole[begin:end]
                if _is_same(_decoded(body.translate(None, _ABOVE_127)), content):
                    return _decoded(body)
        raise Undecodable("quoted-printable that is not found again")


def _decoded(body: bytes) -> bytes:
    """White space at the end of a line was added on the way."""
    return binascii.a2b_qp(_WHITE_LINE_ENDS.sub(b"", body))


def _is_same(one: bytes, other: bytes) -> bool:
    """But for the line end that is to be mended."""
    return one.rstrip(b"\r\n") == other.rstrip(b"\r\n")
