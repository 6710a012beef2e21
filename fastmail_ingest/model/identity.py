"""What makes two mails the same mail.

Message-ID is no identity: senders reuse it. The server's own number for the mail is one where it
has such a number, else the place of the mail: account, mailbox, UIDVALIDITY and UID (RFC 9051 2.3.1.1).
"""

import hashlib

HASH_BYTES = 16
KEY_BYTES = 12  # a chance of 1 in 10^20 that two of a billion mails share one; nobody can make one on purpose
TAG_BYTES = 2


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


def identify_content(account: str, hashed: bytes) -> str:
    """Name a mail out of an archive, where neither server nor place can: by its `content_hash`."""
    return f"{account}:import:{hashed.hex()}"


def content_hash(raw: bytes) -> bytes:
    """Recognise the same bytes after UIDVALIDITY changed: 16 bytes of SHA-256, out of a forger's reach."""
    return hashlib.sha256(raw).digest()[:HASH_BYTES]


def content_key(account: str, hashed: bytes) -> bytes:
    """What the ledger remembers of a content: 12 bytes, equal for equal mails of one account."""
    return hashlib.sha256(account.encode() + b"\0" + hashed).digest()[:KEY_BYTES]


def mailbox_tag(mailbox: str) -> bytes:
    """Two bytes that tell the mailboxes of an account apart, nearly always: the ledger keeps one a mail."""
    return hashlib.sha256(mailbox.encode()).digest()[:TAG_BYTES]
