"""The parts of a mail as fast-mail-parser (Rust) finds them, each decoded when its content is asked for."""

import email.message
import re
from collections.abc import Iterator

import fast_mail_parser
from fast_mail_parser import PyLazyMimePart

from fastmail_ingest.model.mime.charset import decoded
from fastmail_ingest.model.mime.header_text import one_line, words_decoded
from fastmail_ingest.model.mime.part import Part, Undecodable, media_type
from fastmail_ingest.model.mime.quoted_printable import Travelled

_CHARSET = re.compile(r"""(?i);\s*charset\*?\s*=\s*(?:"([^"]{0,80})|([^\s;"]{1,80}))""")
_SEARCHED_BYTES_MAX = 256 * 1024  # once for each name
# Encodings from before MIME, which only the stdlib still reads.
_UUENCODED = frozenset({"x-uuencode", "uuencode", "uue", "x-uue"})


def fast_parts(tree: PyLazyMimePart, whole: bytes) -> Iterator[Part]:
    """The leaves in their order; a message within the mail is one leaf. `tree` was made of `whole`.

    Raises Undecodable for a container without parts: the stdlib finds them behind a boundary that is
    written as RFC 2231 has it, or the text if there is none.
    """
    travelled = Travelled(whole)
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not node.content_type.startswith("multipart/") or node.is_message:
            # Rust has a part between two boundaries in a row, and behind one that only begins like its own.
            if node.encoded_size or node.headers or node is tree:
                yield _part(node, travelled)
        elif children := node.children:
            waiting.extend(reversed(children))
        else:
            raise Undecodable("none begins in a multipart")


def _part(node: PyLazyMimePart, travelled: Travelled) -> Part:
    content_type = media_type(node.content_type)
    headers = node.headers
    return Part(
        content_type=content_type,
        charset=_charset(headers) if content_type.startswith("text/") else "",
        disposition=(node.disposition or "").lower(),
        filename=_filename(node, travelled) if node.filename else "",
        content_id=one_line(node.content_id or ""),
        read=lambda: _content(node, headers, travelled),
    )


def _header(headers: dict[str, list[str]], name: str) -> str:
    if name in headers:  # as nearly every program writes it
        return headers[name][0]
    wanted = name.lower()
    return next((values[0] for written, values in headers.items() if written.lower() == wanted), "")


def _charset(headers: dict[str, list[str]]) -> str:
    match = _CHARSET.search(_header(headers, "Content-Type"))
    if not match:
        return ""
    label = match[1] or match[2] or ""
    return label.rpartition("'")[2]  # charset*=us-ascii'en'utf-8 (RFC 2231)


def _filename(node: PyLazyMimePart, travelled: Travelled) -> str:
    name = node.filename
    if "=?" in name:
        return words_decoded(name)
    if not name.isascii() and not travelled.is_ascii:
        name = _in_its_charset(name, travelled.whole)
    return one_line(name)


def _in_its_charset(name: str, whole: bytes) -> str:
    """Bytes above 127 that stood in the header as they were came as Latin-1."""
    try:
        raw = name.encode("latin-1")
    except UnicodeEncodeError:
        return name
    # A name that was encoded as it should be is right, and its bytes are nowhere.
    is_raw = len(whole) > _SEARCHED_BYTES_MAX or raw in whole
    return decoded(raw, "")[0] if is_raw else name


def _content(node: PyLazyMimePart, headers: dict[str, list[str]], travelled: Travelled) -> bytes:
    try:
        content = node.content or b""
    except fast_mail_parser.ParseError as error:
        raise Undecodable(str(error)) from None
    encoding = _header(headers, "Content-Transfer-Encoding").strip().lower()
    if encoding == "quoted-printable":
        return travelled.mended(content, node.encoded_size or 0)
    if encoding in _UUENCODED:
        return _uudecoded(content)
    return content


def _uudecoded(content: bytes) -> bytes:
    part = email.message.Message()
    part["Content-Transfer-Encoding"] = "x-uuencode"
    part.set_payload(content.decode("ascii", "surrogateescape"))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else content
