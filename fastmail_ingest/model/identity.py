"""What makes two mails the same mail.

Message-ID is no identity: senders reuse it. The server's own number for the mail is one where it
has such a number, else the place of the mail: account, mailbox, UIDVALIDITY and UID (RFC 9051 2.3.1.1).
"""

import hashlib

HASH_BYTES = 16


def identify(
    account: str, mailbox: str, uid_validity: int, uid: int, *, gm_msgid: str = "", email_id: str = ""
) -> str:
    """Name a mail for the ledger.

    `gm_msgid` is Gmail's X-GM-MSGID (the same in all labels), `email_id` RFC 8474's EMAILID
    (the same in all mailboxes of an account). Neither may contain a colon, an account's name cannot,
    and the two numbers come last: so no two mails can get the same name.
    """
    if gm_msgid:
        return f"{account}:gm:{gm_msgid}"
    if email_id:
        return f"{account}:oid:{email_id}"
    return f"{account}:{mailbox}:{uid_validity}:{uid}"


def content_hash(raw: bytes) -> bytes:
    """Recognise the same bytes after UIDVALIDITY changed: 16 bytes of SHA-256, out of a forger's reach."""
    return hashlib.sha256(raw).digest()[:HASH_BYTES]
