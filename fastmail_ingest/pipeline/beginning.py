"""What was in a mailbox before it began with start = "now": left alone, also when the mailbox is read anew.

Then its UIDs tell nothing any more. A mail that came before is known by its date, unless the ledger knows it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from fastmail_ingest.model.mailbox import Beginning, Fetched
from fastmail_ingest.policy.uidplan import Window

# Of the mail server against Redis, and INTERNALDATE may be in any zone that a server takes for its own.
LOOSE_CLOCKS_S = 86_400.0
# Mails that are held back until the ledger was asked about them.
_AT_ONCE = 100
_AT_ONCE_BYTES = 1024 * 1024

Known = Callable[[Sequence[Fetched]], Sequence[bool]]
"""Says of each mail whether the ledger knows it, by its name or by its content."""


class Sieve:
    """Takes out of one window of a mailbox what is to be left alone; `left_alone` counts it."""

    def __init__(self, began: Beginning, uid_validity: int, known: Known) -> None:
        self._began = began
        self._uid_validity = uid_validity
        self._known = known
        self._first_kept = 0
        self.left_alone = 0

    def keeps(self, mails: Iterable[Fetched]) -> Iterator[Fetched]:
        """Those that are to be taken over."""
        old: list[Fetched] = []
        size = 0
        try:
            for mail in mails:
                if not self._is_old(mail):
                    yield self._kept(mail)
                    continue
                old.append(mail)
                size += len(mail.raw or b"")
                if len(old) >= _AT_ONCE or size >= _AT_ONCE_BYTES:
                    asked, old, size = old, [], 0
                    yield from self._those_known(asked)
            asked, old = old, []
            yield from self._those_known(asked)
        finally:
            for mail in old:
                mail.discard()

    def _is_old(self, mail: Fetched) -> bool:
        # What is behind came after we began, whatever its date: mails are also moved in.
        is_read_anew = mail.uid <= self._began.reread_until
        return is_read_anew and 0.0 < mail.internal_date < self._began.since_s - LOOSE_CLOCKS_S

    def _those_known(self, mails: Sequence[Fetched]) -> Iterator[Fetched]:
        for mail, known in zip(mails, self._known(mails) if mails else (), strict=True):
            if known:
                yield self._kept(mail)
            else:
                mail.discard()
                self.left_alone += 1

    def _kept(self, mail: Fetched) -> Fetched:
        self._first_kept = min(self._first_kept or mail.uid, mail.uid)
        return mail

    def begins(self, window: Window) -> Beginning | None:
        """Where the mailbox begins under its new UIDVALIDITY, as soon as this window tells.

        That is before the first mail that is not left alone; so no mail is ever passed over because of it.
        """
        began, until = self._began, self._began.reread_until
        if began.uid_validity in {0, self._uid_validity} or not (self._first_kept or window.last >= until):
            return None
        last_uid = self._first_kept - 1 if self._first_kept else until
        return msgspec.structs.replace(began, uid_validity=self._uid_validity, last_uid=last_uid)
