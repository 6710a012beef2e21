"""Tells by its first bytes what a file is; its name says nothing."""

import re
from enum import Enum

from fastmail_ingest.archive.split import DATED

PEEK_BYTES = 4096

_HEADER = re.compile(rb"[!-9;-~]{1,100}[ \t]*:")
# One of these is in every mail; a text with a colon in its first line has none of them.
_KNOWN = re.compile(
    rb"^(?:From|To|Cc|Date|Subject|Message-ID|Received|Return-Path|Delivered-To|MIME-Version|Content-Type"
    rb"|Reply-To|Sender|X-GM-THRID|X-Mozilla-Status)[ \t]*:",
    re.MULTILINE | re.IGNORECASE,
)
_TAR_MAGIC, _TAR_AT = b"ustar", 257


class Kind(Enum):
    """What a file can be."""

    MBOX = "mbox"
    MAIL = "mail"
    GZIP = "gzip"
    ZIP = "zip"
    TAR = "tar"
    EMPTY = "empty"
    NONE = "none"


def kind_of(begin: bytes) -> Kind:
    """What a file is that begins so; `begin` is PEEK_BYTES of it, or all there is."""
    if not begin:
        return Kind.EMPTY
    if begin.startswith(b"\x1f\x8b"):
        return Kind.GZIP
    if begin.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.ZIP
    if begin.startswith(_TAR_MAGIC, _TAR_AT):
        return Kind.TAR
    if begin.startswith(b"From "):
        return Kind.MBOX if DATED.match(begin) or _HEADER.match(begin.partition(b"\n")[2]) else Kind.NONE
    return Kind.MAIL if _HEADER.match(begin) and _KNOWN.search(_head(begin)) else Kind.NONE


def _head(begin: bytes) -> bytes:
    return re.split(rb"\r?\n\r?\n", begin, maxsplit=1)[0]
