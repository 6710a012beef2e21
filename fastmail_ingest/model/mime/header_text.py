"""What stands in a header, as one line of text: encoded-words (RFC 2047) decoded, nothing that controls."""

import binascii
import email.errors
import email.header
import re

from fastmail_ingest.model.mime.charset import decoded

# A decoded line end would let a mail write headers of its own into whatever is sent on.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
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
    """An unfolded header with its encoded-words decoded, charset by charset, as the stdlib joins them."""
    if "=?" not in value:
        return one_line(value)
    try:
        pieces = email.header.decode_header(value)
    except (ValueError, email.errors.HeaderParseError, binascii.Error):
        return one_line(value)
    # The stdlib makes bytes of what is between the words; of a backslash that was there it says nothing.
    between = "latin-1" if "\\" in value else "raw_unicode_escape"
    return one_line("".join(_piece(piece, charset, between) for piece, charset in pieces))


def _piece(piece: bytes | str, charset: str | None, between: str) -> str:
    if isinstance(piece, str):
        return piece
    return decoded(piece, charset)[0] if charset else piece.decode(between, "replace")
