"""Bytes to text, when the label is missing or wrong."""

import codecs
import re
from functools import lru_cache

import chardetng_py

_GUESS_BYTES = 4 * 1024  # chardetng reads them in 0.3 ms
_LABEL = re.compile(r"[A-Za-z0-9_.:+-]{1,40}")
# Python's names for these are narrower than what mail programs mean; the WHATWG's Encoding Standard has
# the wider ones, as browsers read them.
_WIDER = {
    "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
}  # fmt: skip
_NAMED_OTHERWISE = {
    "windows-874": "cp874", "eucgb2312_cn": "gb18030", "big5_tw": "big5hkscs", "x-gbk": "gb18030",
    "x-sjis": "cp932", "ks_c_5601-1987": "cp949", "x-euc-jp": "euc_jp", "unicode-1-1-utf-7": "utf-7",
    "x-mac-roman": "mac_roman", "iso-8859-8-i": "iso8859-8", "x-user-defined": "cp1252", "unicode": "utf-16",
    "ansi": "cp1252", "8bit": "utf-8",
}  # fmt: skip
# Text to Python, but no mail is in them: some take quadratic time, some make half characters.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"}
)
_NOT_LIKE_ASCII = ("utf-16", "utf-32", "utf-7", "unicode", "utf7", "utf16", "utf32", "hz", "cp037", "ebcdic")
# Any bytes are text in these, so that the label proves nothing.
_TAKES_ANYTHING = frozenset({"cp1252", "cp1254"})
_NOT_SAID = frozenset({"", "ascii"})
_ESCAPE = b"\x1b$"  # how ISO-2022 (RFC 1468), which is all ASCII, begins what is none
_MAKES_HALF_CHARACTERS = "utf-7"


def decoded(raw: bytes, label: str) -> tuple[str, str]:
    """The text, and what was wrong with its label (empty: nothing)."""
    if raw.isascii() and _ESCAPE not in raw and _ascii_is_ascii(label):
        return raw.decode("ascii"), ""
    name = codec_of(label)
    if (name in _NOT_SAID or name in _TAKES_ANYTHING or name is None) and _ESCAPE not in raw:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            pass
        else:
            return text, ""  # that it is no accident is certain: other texts are hardly ever valid UTF-8
    if name not in _NOT_SAID and name is not None:
        try:
            text = raw.decode(name)
        except (UnicodeError, ValueError):
            return _damaged(raw, name, label)
        return whole(text) if name == _MAKES_HALF_CHARACTERS else text, ""
    text, charset = guessed(raw)
    return text, f"charset: {label[:40]!r}, read as {charset}"


@lru_cache(maxsize=256)
def _ascii_is_ascii(label: str) -> bool:
    """Whether bytes below 128 mean in this charset what they mean in ASCII."""
    lowered = label[:40].lower()
    return not lowered.startswith(
        ("utf-16", "utf-32", "utf-7", "unicode", "utf7", "utf16", "utf32", "hz", "cp037")
    )


@lru_cache(maxsize=256)
def codec_of(label: str) -> str | None:
    """Python's name for a charset; empty if there is no label, None if nobody knows it."""
    label = label.strip("\"' ").lower()
    if not label:
        return ""
    if not _LABEL.fullmatch(label):
        return None
    try:
        name = codecs.lookup(_NAMED_OTHERWISE.get(label, label)).name
        b"four".decode(name, "replace")  # of codecs that make no text, too, Python raises LookupError
    except (LookupError, ValueError):
        return None
    return None if name in _NO_CHARSETS else _WIDER.get(name, name)


def _damaged(raw: bytes, name: str, label: str) -> tuple[str, str]:
    """Text that is not in its charset, or nearly: a damaged letter does not make it another language."""
    try:
        return raw.decode(), f"charset: {label[:40]!r} is UTF-8"
    except UnicodeDecodeError:
        text = raw.decode(name, "replace")
    broken = text.count("\N{REPLACEMENT CHARACTER}")
    sound = len(text) - len(text.encode("ascii", "ignore")) - broken
    if name in _TAKES_ANYTHING or sound >= broken:
        return whole(text), f"charset: {broken} characters are not {label[:40]!r}"
    text, charset = guessed(raw)
    return text, f"charset: {label[:40]!r}, read as {charset}"


def guessed(raw: bytes) -> tuple[str, str]:
    """Text that is not UTF-8, in a charset that nobody names, and the name of what it looks like."""
    telling = [line for line in raw[: 4 * _GUESS_BYTES].splitlines() if not line.isascii() or _ESCAPE in line]
    name = chardetng_py.detect(b"\n".join(telling)[:_GUESS_BYTES], allow_utf8=False)
    codec = codec_of(name) or "cp1252"
    return whole(raw.decode(codec, "replace")), name


def whole(text: str) -> str:
    """Text without halves of characters (lone surrogates): no codec and no database would take them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
