"""One FETCH response in the form that nearly all mails come in: values in a line, the body last, ")".

One regular expression proves the line and picks the values, and the literal is copied once: IMAPClient
parses each value into objects instead. All other forms are walked through token by token, see `walk`.
"""

import re

from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.large import Sizes
from fastmail_ingest.source.values import DATE, epoch, flags_of, labels_of
from fastmail_ingest.source.walk import ENDS, Walk
from fastmail_ingest.source.wire import Wire

# Possessive quantifiers (*+): a line that does not match is given up at once, whatever a stranger wrote.
_USUAL = re.compile(
    rb"\* \d{1,10} FETCH \((?:(?:"
    rb"UID (\d{1,10})"
    rb'|FLAGS \(([^()"{}\r\n]*+)\)'
    rb"|INTERNALDATE " + DATE + rb"|X-GM-MSGID (\d{1,20})"
    rb"|X-GM-THRID (\d{1,20})"
    rb'|X-GM-LABELS \(((?:"(?:[^"\\\r\n]|\\["\\])*+"|[^()"{}\r\n])*+)\)'
    rb"|EMAILID \(([A-Za-z0-9_-]{1,255})\)"
    rb"|THREADID \(([A-Za-z0-9_-]{1,255})\)"
    rb") )*+BODY\[\] \{(\d{1,19})\}\r\n"
)


def read_response(wire: Wire, line: bytes, sizes: Sizes) -> Fetched | None:
    """Read the FETCH response that begins with `line`; None if it names no mail by its UID.

    A large body goes where `sizes` say. Raises ProtocolError for all that the grammar does not allow
    (RFC 9051 9, msg-att), and for a body without UID.
    """
    usual = _USUAL.fullmatch(line)
    # Two UIDs in one line: to be refused, or one of them is within a label.
    if usual is None or line.count(b"UID ") != 1 or (size := int(usual[usual.re.groups])) > sizes.whole:
        return Walk(wire, line, sizes).fetched()
    raw = wire.take(size)
    end = wire.line()
    if end != ENDS:
        return Walk(wire, line, sizes, (raw, end)).fetched()
    uid, flags, *date, gm_msgid, gm_thrid, labels, email_id, thread_id, _ = usual.groups()
    fetched = Fetched(int(uid), size=size, raw=raw)
    if flags:
        fetched.flags = flags_of(flags)
    if date[0]:
        fetched.internal_date = epoch(*date)
    if gm_msgid or gm_thrid or labels:
        fetched.gm_msgid, fetched.gm_thrid = (gm_msgid or b"").decode(), (gm_thrid or b"").decode()
        fetched.labels = labels_of(labels or b"")
    if email_id or thread_id:
        fetched.email_id, fetched.thread_id = (email_id or b"").decode(), (thread_id or b"").decode()
    return fetched
