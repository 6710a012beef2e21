"""A small world of mailboxes for the state machine: what lies where, and under which names."""

from functools import cache

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key, identify
from fastmail_ingest.model.mailbox import MailboxKey

UIDS = 6
# `a` names mails by their place, `g` by Gmail's number, `o` by RFC 8474's EMAILID.
MAILBOXES = [
    MailboxKey("a", "INBOX"),
    MailboxKey("a", "Archive"),
    MailboxKey("g", "INBOX"),
    MailboxKey("g", "All Mail"),
    MailboxKey("o", "INBOX"),
    MailboxKey("o", "x:1:2"),
]


def content_number(key: MailboxKey, uid: int) -> int:
    """Which mail lies there: the second mailbox of each account shares some with the first."""
    if key.mailbox != "INBOX":
        return uid + 3
    # Two deliveries of the same bytes into one folder: they are two mails.
    return UIDS - 1 if key.account == "a" and uid == UIDS else uid


@cache
def mail_at(key: MailboxKey, validity: int, uid: int) -> NewMail:
    """The mail as a producer would hand it on."""
    number = content_number(key, uid)
    gm_msgid = str(7000 + number) if key.account == "g" else ""
    email_id = f"M{number}" if key.account == "o" else ""
    identity = identify(key.account, key.mailbox, validity, uid, gm_msgid=gm_msgid, email_id=email_id)
    raw = b"content %d\r\n" % number
    return NewMail(
        identity,
        content_key(key.account, content_hash(raw)),
        codec.encode(envelope(identity, key, validity, uid, raw)),
    )


def envelope(
    identity: str,
    key: MailboxKey = MAILBOXES[0],
    validity: int = 1,
    uid: int = 1,
    raw: bytes = b"",
    version: int = codec.CODEC_VERSION,
) -> codec.Envelope:
    """An envelope with all that a real one has."""
    return codec.Envelope(
        version=version,
        id=identity,
        account=key.account,
        mailbox=key.mailbox,
        uid_validity=validity,
        uid=uid,
        flags=("\\Seen",),
        labels=("ä",),
        thread_id="t",
        internal_date=1.5,
        size=len(raw),
        content_hash=content_hash(raw),
        fetched_at=2.5,
        trace_id="0" * 32,
        raw=raw,
    )
