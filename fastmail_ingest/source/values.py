"""The values that a FETCH response tells of a mail besides its bytes."""

import re
from datetime import UTC, datetime, timedelta, timezone

from imapclient import imap_utf7

# RFC 9051 9, date-time. Nine groups, the arguments of `epoch`.
DATE = rb'"([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"'

_LABEL = re.compile(rb'"((?:[^"\\]|\\.)*+)"|([^\s"()]+)')
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}


def unescaped(quoted: bytes) -> bytes:
    """What stands between the quotation marks of a quoted string."""
    return _ESCAPED.sub(rb"\1", quoted)


def flags_of(text: bytes) -> tuple[str, ...]:
    """Flags, as they stand between the parentheses."""
    return tuple(text.decode("utf-8", "replace").split())


def labels_of(text: bytes) -> tuple[str, ...]:
    """Gmail's labels, as they stand between the parentheses, atoms and quoted strings."""
    return tuple(label(unescaped(quoted) if quoted else plain) for quoted, plain in _LABEL.findall(text))


def label(name: bytes) -> str:
    """A label is in modified UTF-7 (RFC 3501 5.1.3); one that is not is kept as it is."""
    try:
        # Halves of characters would be decoded, but nothing could encode them again.
        return str(imap_utf7.decode(name)).encode("utf-8", "replace").decode()
    except ValueError:
        return name.decode("latin-1")


def epoch(day: bytes, month: bytes, year: bytes, *clock_and_zone: bytes) -> float:
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
