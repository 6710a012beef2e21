"""Mails of one mailbox that its server does not give out, or always wrongly; tried again, less and less."""

import logging
import random
import time

import msgspec

from fastmail_ingest.errors import FetchRefused, ProtocolError, SourceUnavailable
from fastmail_ingest.model.account_state import Quarantined
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.ports import MailSource
from fastmail_ingest.pipeline.transfer import Transfer
from fastmail_ingest.policy.backoff import QUARANTINED, delay_s, left_s
from fastmail_ingest.policy.uidplan import Window

_log = logging.getLogger(__name__)

# If so many in a row are refused it is the mailbox that is at fault, not its mails.
IN_A_ROW_MAX = 10


class Quarantine:
    """The list of one mailbox; it is kept in Redis, and written before each step that may kill us."""

    def __init__(self, key: MailboxKey, transfer: Transfer) -> None:
        self._key = key
        self._transfer = transfer
        self._mails: list[Quarantined] = []
        self._in_a_row = 0

    def load(self, uid_validity: int) -> None:
        """Read the list; mails under another UIDVALIDITY are read anew with all others."""
        found = self._transfer.quarantine(self._key)
        self._mails = [mail for mail in found if mail.uid_validity == uid_validity]
        if len(self._mails) < len(found):
            self._save()

    def add(self, cursor: Cursor, uid: int, reason: str) -> bool:
        """Put a mail into quarantine; False if that is no use, because all of them would end there."""
        self._in_a_row += 1
        if self._in_a_row > IN_A_ROW_MAX:
            return False
        found = Quarantined(cursor.uid_validity, uid, 0, 0.0, reason[:200], anew=cursor.match_until > 0)
        mail = _tried(found)
        self._mails = [*(each for each in self._mails if each.uid != uid), mail]
        self._save()
        _log.error(
            "%s: the mail with UID %d cannot be fetched and is left aside and tried again later: %s",
            self._key, uid, reason,
        )  # fmt: skip
        return True

    def served(self) -> None:
        """The mailbox does give out mails."""
        self._in_a_row = 0

    def is_due(self, now: float) -> bool:
        """Whether a mail is to be tried again; `now` is in epoch seconds."""
        return any(not left_s(mail.again_at, now) for mail in self._mails)

    def retry(self, source: MailSource, cursor: Cursor) -> None:
        """Try the mails that are due. What the server does to the connection is raised."""
        for mail in [each for each in self._mails if not left_s(each.again_at, time.time())]:
            again = _tried(mail)
            self._replace(mail, again)
            # The reading anew may be over by now, and it may have been handled before that.
            behind = msgspec.structs.replace(cursor, match_until=mail.uid) if mail.anew else cursor
            try:
                self._transfer.take(source, self._key, Window(mail.uid, mail.uid), behind)
            except FetchRefused as error:
                _log.warning("%s: UID %d is still refused: %s", self._key, mail.uid, error)
                continue
            except (SourceUnavailable, ProtocolError) as error:
                _log.warning("%s: UID %d still cannot be fetched: %s", self._key, mail.uid, error)
                raise
            _log.info("%s: UID %d is out of quarantine", self._key, mail.uid)
            self._replace(again, None)

    def _replace(self, old: Quarantined, new: Quarantined | None) -> None:
        self._mails = [mail for mail in self._mails if mail is not old] + ([new] if new else [])
        self._save()

    def _save(self) -> None:
        self._transfer.put_quarantine(self._key, self._mails)


def _tried(mail: Quarantined) -> Quarantined:
    """The same mail after one more try."""
    tries = mail.tries + 1
    again_at = time.time() + delay_s(QUARANTINED, tries, random.random())  # noqa: S311
    return msgspec.structs.replace(mail, tries=tries, again_at=again_at)
