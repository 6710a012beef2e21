"""A mail out of an archive: a file or folder of mails that no server stands behind."""

import msgspec

from fastmail_ingest.model.mailbox import MailboxKey

IMPORTS = "import:"  # what stands in the place of a mailbox's name begins so


class Archived(msgspec.Struct, gc=False):
    """One mail, its bytes as a mail server would give them, and what the archive says of it."""

    raw: bytes
    size: int  # bytes of the whole mail, also when `raw` was cut
    position: int  # in the archive, behind this mail: where to go on from
    truncated: bool = False
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    thread_id: str = ""
    gm_msgid: str = ""
    internal_date: float = 0.0  # seconds since the epoch; 0.0 if the archive does not say


def import_key(account: str, source: str) -> MailboxKey:
    """What the position in an import is kept under; `source` is a fingerprint, or a range of history."""
    return MailboxKey(account, f"{IMPORTS}{source}")
