"""Turns a mail as an archive keeps it into the bytes that a mail server gives out for it.

Only so can the ledger see by its content that a mail came before, or comes again, over IMAP.
"""

import csv
import re
from calendar import timegm
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import parsedate_tz

from fastmail_ingest.archive.split import Piece
from fastmail_ingest.model.archived import Archived

TRUNCATED_KEEP_BYTES = 64 * 1024  # as of a mail that is too large on a mail server

# Of X-Gmail-Labels; what decodes them takes the square of the time.
_LABELS_MAX_BYTES = 16 * 1024

# Possessive, here and below: to be able to go back costs 170 bytes for each character of a stranger's header.
# The headers that Takeout puts in front of each mail; one further down is the sender's own.
_TAKEOUT = re.compile(
    rb"X-GM-THRID:[ \t]*(\d{1,20})[ \t]*\r?\n|X-Gmail-Labels:((?:[^\r\n]++|\r?\n[ \t])*+)\r?\n"
)
# Takeout names each mail by its X-GM-MSGID.
_TAKEOUT_LINE = re.compile(rb"From (\d{1,20})@xxx ")
# What mail programs write into their own mbox files. Dovecot gives none of it out (mbox-storage, hidden
# headers), nor does a server to which Thunderbird (X-Mozilla) puts the mail.
_STORAGE = re.compile(
    rb"\n(X-Mozilla-(?:Status2?|Keys)|X-(?:Status|Keywords|UID|IMAP|IMAPbase)|Status|Content-Length):"
    rb"[ \t]*((?:[^\r\n]++|\r?\n[ \t])*+)\r?(?=\n)",
    re.IGNORECASE,
)
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_LETTERS = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "T": "\\Draft", "D": "\\Deleted"}
_MOZILLA_BITS = ((1, "\\Seen"), (2, "\\Answered"), (4, "\\Flagged"), (8, "\\Deleted"))
_FROM_DATE = re.compile(rb"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [^\r\n]*")
_ASCTIME = re.compile(
    r"(\w{3}),? (\w{3}) +(\d{1,2}) (\d\d:\d\d(?::\d\d)?)(?: ([A-Z]{3,4}|[+-]\d{4}))? (\d{4})(?: ([+-]\d{4}))?"
)


def from_mbox(piece: Piece, max_mail: int) -> Archived:
    """The mail of an mbox: without the quoting and the headers that are the file's, not the mail's."""
    mail = Archived(piece.raw, piece.size, piece.end, internal_date=_date_of(piece.line))
    raw, is_takeout = _without_takeout(mail)
    if is_takeout:
        if found := _TAKEOUT_LINE.match(piece.line):
            mail.gm_msgid = found[1].decode()
    else:
        raw = _without_storage(mail, raw)
    if piece.quoted:
        raw = _QUOTED_FROM.sub(rb"\1", raw)
    return _limited(mail, with_crlf(raw), max_mail, cut=piece.cut)


def from_file(raw: bytes, size: int, position: int, max_mail: int) -> Archived:
    """The mail of a file of its own; `raw` may be only the beginning of `size` bytes."""
    mail = Archived(raw, size, position)
    return _limited(mail, with_crlf(raw), max_mail, cut=len(raw) < size)


def with_crlf(raw: bytes) -> bytes:
    """The mail with the line ends of RFC 5322."""
    if b"\r" in raw:
        if raw.count(b"\n") == raw.count(b"\r\n"):
            return raw
        raw = raw.replace(b"\r\n", b"\n")
    return raw.replace(b"\n", b"\r\n")


def _limited(mail: Archived, raw: bytes, max_mail: int, *, cut: bool) -> Archived:
    mail.truncated = cut or len(raw) > max_mail
    if mail.truncated:
        mail.size = max(mail.size, len(raw))
        raw = raw[: min(TRUNCATED_KEEP_BYTES, max_mail)]
    else:
        mail.size = len(raw)
    mail.raw = raw
    return mail


def _without_takeout(mail: Archived) -> tuple[bytes, bool]:
    at = 0
    while found := _TAKEOUT.match(mail.raw, at):
        at = found.end()
        if found[1]:
            mail.thread_id = found[1].decode()
        else:
            mail.labels = labels_of(found[2])
    return mail.raw[at:] if at else mail.raw, at > 0


def labels_of(text: bytes) -> tuple[str, ...]:
    """The labels in Takeout's X-Gmail-Labels: CSV in encoded words (RFC 2047)."""
    text = text[:_LABELS_MAX_BYTES]
    folded = re.sub(r"\r?\n[ \t]", " ", text.decode("utf-8", "replace")).strip()
    try:
        parts = decode_header(folded)
        words = "".join(
            part if isinstance(part, str) else part.decode(charset or "utf-8", "replace")
            for part, charset in parts
        )
    except (HeaderParseError, LookupError, ValueError):
        words = folded
    try:
        names = next(csv.reader([words.replace("\r", " ").replace("\n", " ")], skipinitialspace=True), [])
    except csv.Error:
        names = words.split(",")
    return tuple(name.strip() for name in names if name.strip())


def _without_storage(mail: Archived, raw: bytes) -> bytes:
    end = _head_end(raw)
    head = b"\n" + raw[:end]
    found = list(_STORAGE.finditer(head))
    if not found:
        return raw
    mail.flags = tuple(dict.fromkeys(flag for each in found for flag in _flags_of(each[1].lower(), each[2])))
    return _STORAGE.sub(b"", head)[1:] + raw[end:]


def _head_end(raw: bytes) -> int:
    """Where the last line of the head ends."""
    first = raw.find(b"\n")
    mark = b"\n\r\n" if raw[first - 1 : first] == b"\r" else b"\n\n"
    found = raw.find(mark)
    return found + 1 if found >= 0 else len(raw)


def _flags_of(name: bytes, value: bytes) -> tuple[str, ...]:
    text = value.decode("ascii", "replace").strip()
    if name in {b"status", b"x-status"}:
        return tuple(_LETTERS[letter] for letter in text if letter in _LETTERS)
    if name == b"x-mozilla-status" and re.fullmatch("[0-9A-Fa-f]{1,4}", text):
        return tuple(flag for bit, flag in _MOZILLA_BITS if int(text, 16) & bit)
    return ()


def _date_of(line: bytes) -> float:
    """The time in a "From " line, in UTC if it names no zone (RFC 4155); 0.0 if there is none."""
    found = _FROM_DATE.search(line)
    parts = _ASCTIME.match(found[0].decode("latin-1")) if found else None
    if parts is None:
        return 0.0
    _, month, day, clock, zone, year, zone_behind = parts.groups()
    moment = parsedate_tz(f"{day} {month} {year} {clock} {zone_behind or zone or '+0000'}")
    if moment is None:
        return 0.0
    try:
        return float(timegm((*moment[:6], 0, 0, 0)) - (moment[9] or 0))
    except (ValueError, OverflowError):
        return 0.0
