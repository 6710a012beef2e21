"""Which mails the fast parser may be given: those whose headers say plainly what they are.

fast-mail-parser 0.10 is fast with honest mails only. It looks for the ends of encoded-words (RFC 2047) again
and again, so that 60 KB of broken ones take 17 s; it takes messages within the mail apart and copies each
(250 around 1 MB: 370 MB); it follows containers by recursion until its stack ends; thousands of parameters
take it 25 s; it ends a mail at a line that only begins like a delimiter. All other mails, few and odd or
hostile, are read by the stdlib. So nothing here has to be known of what is hidden how: what is not plain
is not looked into.
"""

import re
from functools import lru_cache

import msgspec

from fastmail_ingest.model.mime.header_text import words_decoded

# Beginnings and ends of broken words in one header block: what they cost grows with the third power.
_LOOSE_MAX = 100
_PART_WORDS_MAX = 400
_CONTAINERS_MAX = 50
_MESSAGES_MAX = 30
_VALUE_BYTES_MAX = 2000
_CACHED_BYTES_MAX = 400

_WORD = re.compile(
    rb"""(?<![^\s("',<:;=])=\?[A-Za-z0-9_.:*'+-]{1,60}\?[bBqQ]\?[^?\s]{0,300}\?=(?![^\s)"',<;])"""
)
_FIELD = re.compile(rb"\ncontent-([a-z-]{1,40})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)")
# RFC 2045, 5.1, without what parsers read differently: comments, backslashes, semicolons in quotes.
_VALUE = re.compile(
    r"""\s*(?:[\w.+!#$&^-]+(?:/[\w.+!#$&^-]+)?)?(?:\s*;\s*[\w.*%-]+=(?:"[^"\\;]*"|[^\s;"\\(),<>@\[\]]+))*\s*;?\s*""",
    re.ASCII,
)
_PARAMETER = re.compile(r""";\s*([\w.*%-]+)=(?:"([^"]*)"|([^\s;]+))""", re.ASCII)
_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"})
# What stands behind a delimiter, and the headers of a part up to the blank line.
_DELIMITER_END = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
_BLOCK = re.compile(rb"(?:[!-9;-~]++[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*+)*+\r?\n")


def is_plain(head: bytes, whole: bytes) -> bool:
    """Whether fast-mail-parser may be given this mail, of which `head` is the header block."""
    if not has_few_loose_words(head):
        return False
    found = _look(head)
    if found is None:
        return False
    return True if found.boundary is None and not found.is_message else _Walk(whole).follow(found, len(head))


def has_few_loose_words(head: bytes) -> bool:
    """Whether nearly all that looks like an encoded-word in a header block is one."""
    if head.count(b"?") <= _LOOSE_MAX:
        return True
    loose = head.count(b"=?") + head.count(b"?=")
    return loose <= _LOOSE_MAX or loose - 2 * len(_WORD.findall(head)) <= _LOOSE_MAX


class _Look(msgspec.Struct, frozen=True):
    """What a header block says of what follows it."""

    boundary: bytes | None
    is_message: bool
    words: int


class _Walk:
    """Goes to the header block of each part, and of each message within the mail."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self._boundaries: dict[bytes, int] = {}  # and from where on each is searched for
        self._words = 0
        self._messages = 0

    def follow(self, found: _Look, end: int) -> bool:
        """Whether all blocks behind this one, which ends at `end`, are plain."""
        if not self._take(found, end):
            return False
        searched: set[bytes] = set()
        while todo := [each for each in self._boundaries if each not in searched]:
            searched.add(todo[0])
            if not self._parts_of(todo[0]):
                return False
        return True

    def _parts_of(self, boundary: bytes) -> bool:
        delimiter, at = b"\n--" + boundary, self._boundaries[boundary]
        while (at := self._whole.find(delimiter, at)) >= 0:
            line_end = _DELIMITER_END.match(self._whole, at + len(delimiter))
            if line_end is None:
                return False
            at = line_end.end() - 1
            if not line_end[1] and not self._block(line_end.end()):
                return False
        return True

    def _block(self, begin: int) -> bool:
        if begin >= len(self._whole):
            return True
        block = _BLOCK.match(self._whole, begin)
        if block is None:
            return False
        found = _look_cached(block[0]) if len(block[0]) <= _CACHED_BYTES_MAX else _look(block[0])
        return found is not None and self._take(found, block.end())

    def _take(self, found: _Look, end: int) -> bool:
        self._words += found.words
        if found.boundary is not None:
            if found.boundary in self._boundaries:
                return False
            self._boundaries[found.boundary] = max(0, end - 1)
        self._messages += found.is_message
        within = (
            self._words <= _PART_WORDS_MAX
            and self._messages <= _MESSAGES_MAX
            and len(self._boundaries) <= _CONTAINERS_MAX
        )
        return within and (not found.is_message or self._message(end))

    def _message(self, end: int) -> bool:
        """The headers of a message within the mail begin behind the blank line."""
        if self._whole.startswith((b"\r\n", b"\n"), end):  # `end` is that of the mail's own headers
            end += 2 if self._whole.startswith(b"\r\n", end) else 1
        return self._block(end)


def _look(block: bytes) -> _Look | None:
    """None for a block that does not say plainly what follows it."""
    if not has_few_loose_words(block):
        return None
    lowered = b"\n" + block.lower()
    boundary: bytes | None = None
    kind, encoding = "", b""
    at = -1
    while (at := lowered.find(b"\ncontent-", at + 1)) >= 0:
        field = _FIELD.match(lowered, at)
        if field is None:
            return None
        name, value = field[1], block[field.start(2) - 1 : field.end(2) - 1]
        if name == b"transfer-encoding":
            encoding = field[2].removesuffix(b"\r").lstrip()
            if encoding not in _ENCODINGS:
                return None
        elif name in (b"type", b"disposition"):
            parameters = _parameters(value)
            if parameters is None:
                return None
            if name == b"type":
                kind = parameters[""]
                boundary = parameters.get("boundary", "").encode("utf-8", "replace").rstrip() or boundary
                if "boundary" in parameters and not boundary:
                    return None
    return _seen(kind, encoding, boundary, block.count(b"=?"))


def _seen(kind: str, encoding: bytes, boundary: bytes | None, words: int) -> _Look | None:
    if kind == "multipart/digest" or (kind.startswith("multipart/") and boundary is None):
        return None
    is_message = kind == "message/rfc822"
    if is_message and encoding in (b"base64", b"quoted-printable"):
        return None  # what is in its headers cannot be seen from here
    return _Look(boundary if kind.startswith("multipart/") else None, is_message, words)


_look_cached = lru_cache(maxsize=1024)(_look)


@lru_cache(maxsize=1024)
def _parameters(value: bytes) -> dict[str, str] | None:
    """Parameters by name in lower case, under "" what stands before them; None for what is not plain."""
    if len(value) > _VALUE_BYTES_MAX:
        return None
    text = value.decode("utf-8", "replace").replace("\r", "").replace("\n", "")
    if "=?" in text:
        if not _VALUE.fullmatch(text.replace("=?", "__").replace("?=", "__")):
            return None
        text = words_decoded(text)  # so does the parser, before it looks for parameters
    if not _VALUE.fullmatch(text):
        return None
    found = [(match[1].lower(), match[2] or match[3] or "") for match in _PARAMETER.finditer(text)]
    parameters = dict(found)
    odd = len(parameters) != len(found) or any(name.startswith(("boundary*", "%")) for name in parameters)
    return None if odd else parameters | {"": text.partition(";")[0].strip().lower()}
