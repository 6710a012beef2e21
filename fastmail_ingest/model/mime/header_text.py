"""What stands in a header, as one line of text: encoded-words (RFC 2047) decoded, nothing that controls."""

import binascii
import re

from fastmail_ingest.model.mime.charset import decoded

# A decoded line end would let a mail write headers of its own into whatever is sent on.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# As programs write it: against RFC 2047, 2, with question marks in the text, but never a word in a word.
_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?((?:[^?=]|=(?!\?)|\?(?!=)|=(?=\?=)){0,2000}+)\?=")
BROKEN = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """`text` without control characters and line ends, each run of them a space."""
    if text.isprintable():
        return text
    return _CONTROLS.sub(" ", text).strip()


def is_doubtful(text: str) -> bool:
    """Whether a decoded header should be read again: words are left, or characters were split among words."""
    return "=?" in text or BROKEN in text


def words_decoded(value: str) -> str:
    """An unfolded header with its encoded-words decoded; those of one charset side by side are one text.

    Not `email.header.decode_header`, which decodes the same words: it takes time quadratic in the number of
    those that do not end.
    """
    if "=?" not in value:
        return one_line(value)
    pieces: list[str] = []
    open_charset, held = "", b""  # of words that may go on
    at = 0
    for word in _WORD.finditer(value):
        between = value[at : word.start()]
        charset = word[1].partition("*")[0].lower()  # behind it may be a language (RFC 2231, 5)
        raw = _transfer_decoded(word[2], word[3])
        if raw is None:
            continue
        if not (between.isspace() or not between) or charset != open_charset or not at:
            pieces.append(decoded(held, open_charset)[0] if held else "")
            pieces.append("" if at and (between.isspace() or not between) else between)
            open_charset, held = charset, b""
        held += raw
        at = word.end()
    pieces.append(decoded(held, open_charset)[0] if held else "")
    return one_line("".join([*pieces, value[at:]]))


def _transfer_decoded(encoding: str, text: str) -> bytes | None:
    """The bytes of a word; None for base64 that is none."""
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw, header=True)
    try:
        return binascii.a2b_base64(raw + b"==="[: -len(raw) % 4])
    except binascii.Error:
        return None
