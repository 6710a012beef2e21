"""Which UIDs to ask for next.

UIDs only rise and have gaps, sometimes huge ones; `n:*` always names the last mail, even below n
(RFC 9051 9, seq-range). So we walk in windows from the cursor to UIDNEXT and drop what is below.
"""

import msgspec

from fastmail_ingest.model.mailbox import Cursor, MailboxState


class Window(msgspec.Struct, frozen=True):
    """The UIDs `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


def start(cursor: Cursor, state: MailboxState) -> Cursor:
    """The cursor to go on from, now that the mailbox says which UIDVALIDITY its UIDs belong to.

    Another UIDVALIDITY voids all UIDs: begin anew, and recognise by content all that was there.
    """
    if cursor.uid_validity == state.uid_validity:
        return cursor
    known_before = cursor.uid_validity != 0
    return Cursor(
        uid_validity=state.uid_validity,
        last_uid=0,
        match_until=state.uid_next - 1 if known_before else 0,
    )


def next_window(last_uid: int, uid_next: int, width: int) -> Window | None:
    """The next window of at most `width` UIDs, None if the mailbox is read up to UIDNEXT."""
    first = last_uid + 1
    if first >= uid_next:
        return None
    return Window(first, min(first + width, uid_next) - 1)
