"""The cursors of all mailboxes and imports, for an operator: look at them, forget them, put them back."""

from collections.abc import Iterator
from typing import Any

import msgspec
from redis.client import Pipeline

from fastmail_ingest.model.append import Append
from fastmail_ingest.model.archived import IMPORTS
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.policy import uidplan
from fastmail_ingest.stream.inspection import Inspection

_FIELDS = ("uid_validity", "last_uid", "match_until", "last_poll", "since", "count")


class StoredCursor(msgspec.Struct, frozen=True):
    """How far a mailbox, or an archive that is imported, is taken over.

    `moved_at` is when that was last written down, `since` when first, in epoch seconds (0.0: not known);
    `count` is how many mails it brought.
    """

    key: MailboxKey
    cursor: Cursor
    moved_at: float
    since: float
    count: int

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

    def _read(self, keys: Iterator[MailboxKey]) -> Iterator[StoredCursor]:
        for key in keys:
            with self._reached():
                found = self._redis.hmget(self._keys.cursor(key), list(_FIELDS))
            # Another program may have written anything there.
            validity, last, match, moved, since, count = (int(v) if v and v.isdigit() else 0 for v in found)
            yield StoredCursor(key, Cursor(validity, last, match), moved / 1000, since / 1000, count)

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
        """Put a cursor back to `last_uid`; returns where it was, None if it was not above that."""
        with self._reached():
            while True:
                now = self.ledger.cursor(key)
                if now.last_uid <= last_uid:
                    return None
                back = msgspec.structs.replace(now, last_uid=last_uid)
                # It may be moving while we look: then once more.
                if self.ledger.append(Append(key, [], back, now)).in_place:
                    return now
