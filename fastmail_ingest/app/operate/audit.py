"""The audit of mailboxes: what the server has, compared with what the stream and the ledger know."""

from collections.abc import Iterator, Sequence

import msgspec

from fastmail_ingest.app.operate import words
from fastmail_ingest.model.identity import identify
from fastmail_ingest.model.mailbox import Cursor, Fetched, MailboxKey, MailboxState
from fastmail_ingest.policy import uidplan
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.inspection import Inspection

_WINDOW = 5000  # UIDs a FETCH command
_STATES_AT_ONCE = 1000
# So many are looked at again in the end. No race makes more of them.
SUSPECTS_MAX = 10_000
_DAY_S = 86_400


class Finding(msgspec.Struct, frozen=True):
    """A mail that the server has and that is not where it should be: unknown (a gap) or both (a double)."""

    identity: str
    uid: int
    state: str


class MailboxAudit(msgspec.Struct):
    """What was found in one mailbox; `findings` may be fewer than `gaps` and `doubles`.

    `to_fetch` mails are above the cursor; `beyond_memory` ones are unknown, but older than the memory.
    """

    account: str
    mailbox: str
    mails: int = 0
    done: int = 0
    queued: int = 0
    to_fetch: int = 0
    beyond_memory: int = 0
    gaps: int = 0
    doubles: int = 0
    findings: list[Finding] = []
    error: str = ""


class MailboxAuditor:
    """Audits mailboxes over a connection. Changes nothing: neither there nor in Redis."""

    def __init__(self, inspection: Inspection, keep_days: int) -> None:
        self._inspection = inspection
        now_ms = inspection.now_ms()
        # Nothing that was handled later can have been forgotten.
        self._remembered_since_s = max(
            now_ms / 1000 - keep_days * _DAY_S, inspection.forgotten_until_ms() / 1000
        )
        self._forgettable_before_s = self._remembered_since_s

    def run(self, source: Connection, key: MailboxKey) -> MailboxAudit:
        """Compare one mailbox; raises what the connection raises, and StreamUnavailable."""
        found = MailboxAudit(key.account, key.mailbox)
        # Read before the server is asked: what is behind the cursor then must be known from now on.
        stored = self._inspection.cursor(key)
        state = source.examine(key.mailbox)
        cursor = uidplan.start(stored, state)
        self._forgettable_before_s = self._horizon_s(key)
        with words.progress(f"audit {key}, UIDs", max(0, state.uid_next - 1)) as bar:
            looked_at = 0
            for mails in listed(source, state):
                found.mails += len(mails)
                behind = [mail for mail in mails if mail.uid <= cursor.last_uid]
                found.to_fetch += len(mails) - len(behind)
                for at in range(0, len(behind), _STATES_AT_ONCE):
                    self._compare(found, named(key, cursor.uid_validity, behind[at : at + _STATES_AT_ONCE]))
                bar(mails[-1].uid - looked_at)
                looked_at = mails[-1].uid
        self._look_again(found, key, cursor)
        return found

    def _horizon_s(self, key: MailboxKey) -> float:
        """Mails that came before may have been forgotten: none if all were handled within the memory."""
        followed_all_along = self._inspection.followed_since_ms(key) / 1000 >= self._remembered_since_s
        return 0.0 if followed_all_along else self._remembered_since_s

    def _compare(self, found: MailboxAudit, mails: dict[str, Fetched]) -> None:
        states = self._inspection.states(list(mails))
        for (identity, mail), state in zip(mails.items(), states, strict=True):
            if state == "unknown" and 0 < mail.internal_date < self._forgettable_before_s:
                found.beyond_memory += 1
            else:
                _count(found, Finding(identity, mail.uid, state), 1)

    def _look_again(self, found: MailboxAudit, key: MailboxKey, cursor: Cursor) -> None:
        """What was suspect may have been on its way, or the cursor went back so that it is fetched again."""
        now = self._inspection.cursor(key)
        suspects, found.findings = found.findings, []
        for at in range(0, len(suspects), _STATES_AT_ONCE):
            part = suspects[at : at + _STATES_AT_ONCE]
            states = self._inspection.states([suspect.identity for suspect in part])
            for suspect, state in zip(part, states, strict=True):
                _count(found, suspect, -1)
                if state == "unknown" and (now.uid_validity, now.last_uid) < (
                    cursor.uid_validity,
                    suspect.uid,
                ):
                    found.to_fetch += 1
                else:
                    _count(found, msgspec.structs.replace(suspect, state=state), 1)


def _count(found: MailboxAudit, mail: Finding, by: int) -> None:
    """Add to the count of the mail's state, and keep it if it is suspect."""
    if mail.state == "done":
        found.done += by
    elif mail.state == "queued":
        found.queued += by
    else:
        if mail.state == "both":
            found.doubles += by
        else:
            found.gaps += by
        if by > 0 and len(found.findings) < SUSPECTS_MAX:
            found.findings.append(mail)


def named(key: MailboxKey, uid_validity: int, mails: Sequence[Fetched]) -> dict[str, Fetched]:
    """The mails by their identity."""
    return {
        identify(
            key.account, key.mailbox, uid_validity, mail.uid,
            gm_msgid=mail.gm_msgid, email_id=mail.email_id,
        ): mail
        for mail in mails
    }  # fmt: skip


def listed(source: Connection, state: MailboxState, last_uid: int = 0) -> Iterator[list[Fetched]]:
    """All mails of the mailbox above `last_uid`, a window at a time."""
    while window := uidplan.next_window(last_uid, state.uid_next, _WINDOW):
        mails = source.names(window)
        last_uid = window.last
        if mails:
            yield mails
        else:
            # Gaps can be huge: go to the next mail there is.
            ahead = source.uids_above(last_uid)
            last_uid = (ahead[0] if ahead else state.uid_next) - 1
