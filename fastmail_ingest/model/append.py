"""One append to the stream: what is asked, and what came of it."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey


class Append(msgspec.Struct, frozen=True):
    """The mails, where they go, and the mailbox's cursor after this, and before it as the sender believes.

    `by_content` also recognises mails by content in their own mailbox (UIDVALIDITY changed). `found_in` is
    the mailbox that the mails are in, where `key` only names a cursor: that of an import. `began` is written
    down together with the cursor.
    """

    key: MailboxKey
    mails: Sequence[NewMail]
    cursor: Cursor
    believed: Cursor
    by_content: bool = False
    lane: Lane = Lane.LIVE
    found_in: str = ""
    began: Beginning | None = None


class Appended(NamedTuple):
    """How many mails were new, how many wait now, and how many bytes those have.

    `in_place` is false if the cursor is not where the sender believed it to be, and so was not moved.
    """

    new: int
    waiting: int
    size: int
    in_place: bool
