"""The FETCH response, read as it streams in (RFC 9051 7.5.2).

One mail is one untagged response: a line that ends in a literal's length, the literal, more of the
same, and a line that ends the response. imaplib reads this through several copies and IMAPClient
parses each value into objects; here a regular expression picks the values out of the line and the
literal is copied once. Answers may come in pieces, twice, out of order, and mixed with flag updates.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

from imapclient import imap_utf7

from fastmail_ingest.errors import ProtocolError, SourceUnavailable
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.wire import Wire

TRUNCATED_KEEP_BYTES = 64 * 1024  # of a mail that is too large: its headers, to see what it was

_LITERAL = re.compile(rb"\{(\d{1,19})\+?\}\r?\n\Z")
_RESPONSE = re.compile(rb"\* (\d+) FETCH \(", re.IGNORECASE)
_BODY = re.compile(rb"BODY\[(?:HEADER)?\](?:<\d+>)? \Z", re.IGNORECASE)
_BODY_QUOTED = re.compile(rb'BODY\[(?:HEADER)?\] (?:"((?:[^"\\]|\\.)*)"|NIL)', re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d{1,10})\b", re.IGNORECASE)
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)", re.IGNORECASE)
_DATE = re.compile(
    rb'\bINTERNALDATE "([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"', re.IGNORECASE
)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,19})\b", re.IGNORECASE)
_GM_MSGID = re.compile(rb"\bX-GM-MSGID (\d{1,20})\b", re.IGNORECASE)
_GM_THRID = re.compile(rb"\bX-GM-THRID (\d{1,20})\b", re.IGNORECASE)
_GM_LABELS = re.compile(rb'\bX-GM-LABELS \(((?:"(?:[^"\\]|\\.)*"|[^)"])*)\)', re.IGNORECASE)
_EMAIL_ID = re.compile(rb"\bEMAILID \(([A-Za-z0-9_-]{1,255})\)", re.IGNORECASE)
_THREAD_ID = re.compile(rb"\bTHREADID \(([A-Za-z0-9_-]{1,255})\)", re.IGNORECASE)
_LABEL = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^\s"()]+)')
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}


def read_fetch(wire: Wire, tag: bytes, max_mail: int, on_other: Callable[[bytes], None]) -> Iterator[Fetched]:
    """Yield the mails of one FETCH command until its tagged OK.

    A mail above `max_mail` bytes keeps only its beginning and is marked `truncated`. Other untagged
    lines go to `on_other`. Raises SourceUnavailable for NO, BYE or a lost connection, ProtocolError
    for BAD and for what is no IMAP: the mails yielded before are good in any case.
    """
    tagged = tag + b" "
    while True:
        line = wire.line()
        if _RESPONSE.match(line):
            fetched = _read_response(wire, line, max_mail)
            if fetched is not None:
                yield fetched
        elif line.startswith(b"* "):
            _check_bye(line)
            on_other(line)
        elif line.startswith(tagged):
            _check_status(line[len(tagged) :])
            return
        else:
            raise ProtocolError(f"unexpected answer to FETCH: {line[:80]!r}")


def _read_response(wire: Wire, line: bytes, max_mail: int) -> Fetched | None:
    """Read the rest of a FETCH response that began with `line`; None if it has no UID."""
    fetched = Fetched()
    text = line
    while literal := _LITERAL.search(line):
        size = int(literal.group(1))
        before = line[: literal.start()]
        if _BODY.search(before):
            _take_body(wire, fetched, size, max_mail)
            text = text[: literal.start() - len(line)] + b"NIL "
        else:
            # Another value as a literal (a label, say): quote it back into the text.
            value = _take_value(wire, size).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            text = text[: literal.start() - len(line)] + b'"' + value + b'" '
        line = wire.line()
        text += line
    return fetched if _read_values(text, fetched) else None


def _take_body(wire: Wire, fetched: Fetched, size: int, max_mail: int) -> None:
    fetched.size = size
    if size <= max_mail:
        fetched.raw = wire.take(size)
        return
    kept = min(TRUNCATED_KEEP_BYTES, max_mail)
    fetched.raw = wire.take(kept)
    fetched.truncated = True
    wire.skip(size - kept)


def _take_value(wire: Wire, size: int) -> bytes:
    if size > TRUNCATED_KEEP_BYTES:
        raise ProtocolError(f"the mail server announced a value of {size} bytes that is not a mail")
    return wire.take(size)


def _read_values(text: bytes, fetched: Fetched) -> bool:
    """Pick the values out of the response's text; False if it names no UID."""
    text = _read_strangers_words(text, fetched)
    uid = _UID.search(text)
    if uid is None:
        return False
    fetched.uid = int(uid.group(1))
    if flags := _FLAGS.search(text):
        fetched.flags = tuple(flags.group(1).decode("utf-8", "replace").split())
    if date := _DATE.search(text):
        fetched.internal_date = _epoch(*date.groups())
    if size := _SIZE.search(text):
        fetched.size = int(size.group(1))
    if b"X-GM-" in text:
        _read_gmail(text, fetched)
    if email_id := _EMAIL_ID.search(text):
        fetched.email_id = email_id.group(1).decode()
    if thread_id := _THREAD_ID.search(text):
        fetched.thread_id = thread_id.group(1).decode()
    return True


def _read_strangers_words(text: bytes, fetched: Fetched) -> bytes:
    """Read a quoted body and labels and cut them out: strangers wrote them, they must not pass for a UID."""
    if fetched.raw is None and (quoted := _BODY_QUOTED.search(text)):
        # A server may send a short or empty body as a quoted string, or NIL for one that is not there.
        fetched.raw = _ESCAPED.sub(rb"\1", quoted.group(1) or b"")
        fetched.size = len(fetched.raw)
        text = text[: quoted.start()] + text[quoted.end() :]
    if labels := _GM_LABELS.search(text):
        fetched.labels = tuple(
            _label(_ESCAPED.sub(rb"\1", quoted) if quoted else plain)
            for quoted, plain in _LABEL.findall(labels.group(1))
        )
        text = text[: labels.start()] + text[labels.end() :]
    return text


def _label(name: bytes) -> str:
    """A label is in modified UTF-7 (RFC 3501 5.1.3); one that is not is kept as it is."""
    try:
        # Halves of characters would be decoded, but nothing could encode them again.
        return str(imap_utf7.decode(name)).encode("utf-8", "replace").decode()
    except ValueError:
        return name.decode("latin-1")


def _read_gmail(text: bytes, fetched: Fetched) -> None:
    """Gmail's extension: https://developers.google.com/workspace/gmail/imap/imap-extensions."""
    if msgid := _GM_MSGID.search(text):
        fetched.gm_msgid = msgid.group(1).decode()
    if thrid := _GM_THRID.search(text):
        fetched.gm_thrid = thrid.group(1).decode()


def _epoch(day: bytes, month: bytes, year: bytes, *clock_and_zone: bytes) -> float:
    """Seconds since the epoch of an INTERNALDATE; 0.0 for a date that no calendar has."""
    hour, minute, second, sign, zone_hours, zone_minutes = clock_and_zone
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    number = _MONTHS.get(month.lower(), 0)
    try:
        zone = timezone(-offset if sign == b"-" else offset) if offset else UTC
        moment = datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=zone)
        return moment.timestamp()
    except ValueError:
        return 0.0


def _check_bye(line: bytes) -> None:
    if line[2:5].upper() == b"BYE":
        raise SourceUnavailable(f"the mail server hung up: {_text(line[5:])}")


def _check_status(status: bytes) -> None:
    word = status[:3].upper().rstrip()
    if word == b"OK":
        return
    if word == b"NO":
        raise SourceUnavailable(f"the mail server refused FETCH: {_text(status[2:])}")
    raise ProtocolError(f"the mail server answered FETCH with {_text(status)}")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()[:300]
