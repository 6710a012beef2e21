"""Which UIDs to ask for next.

UIDs only rise and have gaps, sometimes huge ones; `n:*` always names the last mail, even below n
(RFC 9051 9, seq-range). So we walk in windows from the cursor to UIDNEXT and drop what is below.
"""

import msgspec

from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxState


class Window(msgspec.Struct, frozen=True):
    """The UIDs `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


# A server that gives UIDs out again without saying so gets a UIDVALIDITY of our own: its own, which has 32
# bits (RFC 9051 9, nz-number), plus the number of the generation above them. So no two mails share a name.
_GENERATION = 1 << 32
_VALIDITY = _GENERATION - 1


def server_validity(uid_validity: int) -> int:
    """The server's own UIDVALIDITY, of one that may have a generation above it."""
    return uid_validity & _VALIDITY


def above(cursor: Cursor, began: Beginning) -> Cursor:
    """The cursor, no lower than where its mailbox began. What is below that was never to be read."""
    if cursor.uid_validity != began.uid_validity or cursor.last_uid >= began.last_uid:
        return cursor
    match_until = cursor.match_until if began.last_uid < cursor.match_until else 0
    return Cursor(cursor.uid_validity, began.last_uid, match_until)


def forgotten(uid_validity: int) -> int:
    """What is to be remembered of the UIDVALIDITY of a mailbox that shall be read as if it never was: its
    generation, or 0. A server's own UIDVALIDITY is never 0.
    """
    return uid_validity - server_validity(uid_validity)


def start(cursor: Cursor, state: MailboxState, *, begin_now: bool = False) -> Cursor:
    """The cursor to go on from, now that the mailbox says which UIDVALIDITY its UIDs belong to.

    Another UIDVALIDITY voids all UIDs: begin anew, and recognise by content all that was there. So do UIDs
    that were given out before (UIDNEXT fell: a mailbox made anew, or restored), and UIDs that do not last.
    With `begin_now` a mailbox that was never read begins behind what is there.
    """
    if server_validity(cursor.uid_validity) == 0:
        return _begin(cursor, state, begin_now=begin_now)
    same = server_validity(cursor.uid_validity) == state.uid_validity
    fell = state.told and state.uid_next <= cursor.last_uid
    if same and state.sticky and not fell:
        return cursor
    # A generation is never taken back: an older UIDVALIDITY may come again.
    generation = cursor.uid_validity // _GENERATION + same
    # A server that only lagged behind shows what we have read already up to there.
    known = max(state.uid_next - 1, cursor.last_uid) if same else state.uid_next - 1
    return Cursor(state.uid_validity + generation * _GENERATION, 0, match_until=known)


def _begin(cursor: Cursor, state: MailboxState, *, begin_now: bool) -> Cursor:
    """As for a mailbox that was never read, except that a generation stays (see `forgotten`)."""
    generation, last_uid = cursor.uid_validity // _GENERATION, state.uid_next - 1
    if begin_now or not generation:
        return Cursor(state.uid_validity + generation * _GENERATION, last_uid if begin_now else 0)
    generation += not state.sticky
    return Cursor(state.uid_validity + generation * _GENERATION, 0, match_until=last_uid)


def is_current(cursor: Cursor, state: MailboxState) -> bool:
    """Whether nothing has come into the mailbox since the cursor."""
    same = server_validity(cursor.uid_validity) == state.uid_validity
    return same and state.sticky and state.uid_next == cursor.last_uid + 1


def next_window(last_uid: int, uid_next: int, width: int) -> Window | None:
    """The next window of at most `width` UIDs, None if the mailbox is read up to UIDNEXT."""
    first = last_uid + 1
    if first >= uid_next:
        return None
    return Window(first, min(first + width, uid_next) - 1)
