"""The cursors of all mailboxes and imports, for an operator: look at them, forget them, put them back."""

from collections.abc import Iterator
from typing import Any

import msgspec
from redis.client import Pipeline

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.archived import IMPORTS
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey
from fastmail_ingest.policy import uidplan
from fastmail_ingest.stream.inspection import Inspection
from fastmail_ingest.stream.ledger import BEGINNING, IMPORT_NAME

_FIELDS = (IMPORT_NAME, "uid_validity", "last_uid", "match_until", "last_poll", "count", *BEGINNING)


class StoredCursor(msgspec.Struct, frozen=True):
    """How far a mailbox, or an archive that is imported, is taken over.

    `moved_at` is when that was last written down, `since` when first, in epoch seconds (0.0: not known);
    `count` is how many mails it brought. `began` is where it began with start = "now".
    """

    key: MailboxKey
    cursor: Cursor
    moved_at: float
    since: float
    count: int
    began: Beginning = Beginning()
    name: str = ""  # of the archive

    @property
    def is_import(self) -> bool:
        """Whether this is no mailbox of a mail server; then `last_uid` is a position in an archive."""
        return self.key.mailbox.startswith(IMPORTS)


class Cursors(Inspection):
    """Finds and moves cursors. A running producer notices, and goes on from there."""

    def all(self, account: str = "", mailbox: str = "") -> list[StoredCursor]:
        """Those of this account and mailbox, or of all, in order of their names."""
        keys = (MailboxKey(*name.split(":", 1)) for name in self.followed() if ":" in name)
        wanted = (key for key in keys if account in {"", key.account} and mailbox in {"", key.mailbox})
        return list(self._read(wanted))

    def one(self, key: MailboxKey) -> StoredCursor:
        """This one; all zero if there is none."""
        return next(self._read(iter([key])))

    def _read(self, keys: Iterator[MailboxKey]) -> Iterator[StoredCursor]:
        for key in keys:
            with self._reached():
                found: list[Any] = self._redis.hmget(self._keys.cursor(key), list(_FIELDS))
            # Another program may have written anything there.
            name, *values = found
            numbers = [int(value) if value and value.isdigit() else 0 for value in values]
            cursor, (moved, count), (*begun, since) = Cursor(*numbers[:3]), numbers[3:5], numbers[5:]
            began = Beginning(begun[0], begun[1], begun[2], since / 1000)
            shown = (name or b"").decode("utf-8", "replace")
            yield StoredCursor(key, cursor, moved / 1000, began.since_s, count, began, shown)

    def forget(self, key: MailboxKey) -> bool:
        """Remove a cursor; False if there was none. What keeps names from being given again stays of it."""
        name = self._keys.cursor(key)

        def change(pipe: Pipeline) -> None:
            validity = pipe.hget(name, "uid_validity") or b""
            kept = uidplan.forgotten(int(validity)) if validity.isdigit() else 0
            pipe.multi()
            pipe.delete(name)
            if kept:
                pipe.hset(name, mapping={"uid_validity": kept, "last_uid": 0})

        with self._reached():
            done: Any = self._redis.transaction(change, name)
        return bool(done[0])

    def put_back(self, key: MailboxKey, last_uid: int) -> Cursor | None:
        """Put a cursor back to `last_uid`; returns where it was, None if it was not above that.

        A mailbox that began with start = "now" above that loses its beginning: it is to be read.
        """
        with self._reached():
            while True:
                now = self.ledger.cursor(key)
                if now.last_uid <= last_uid:
                    return None
                if is_below(last_uid, now, self.ledger.beginning(key)):
                    # Before the cursor moves: it is noted together with the cursor, so it does not come back.
                    self._redis.hdel(self._keys.cursor(key), *BEGINNING[:3])
                back = msgspec.structs.replace(now, last_uid=last_uid)
                # It may be moving while we look: then once more.
                if self.ledger.append(Append(key, [], back, now)).in_place:
                    return now


def is_below(last_uid: int, now: Cursor, began: Beginning) -> bool:
    """Whether a cursor that is put back there is below where its mailbox began."""
    return began.uid_validity not in {0, now.uid_validity} or last_uid < began.last_uid
