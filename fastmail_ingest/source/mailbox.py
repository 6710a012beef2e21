"""A mailbox that is read and watched over one connection, without ever changing it."""

import logging
import time
from collections.abc import Callable, Iterator

from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from fastmail_ingest.config import Account
from fastmail_ingest.errors import (
    FetchRefused,
    LoginRefused,
    MailboxRefused,
    ProtocolError,
    SourceUnavailable,
)
from fastmail_ingest.model.mailbox import Fetched, MailboxState
from fastmail_ingest.policy.refusal import shuts_the_account
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source import gmail
from fastmail_ingest.source.ahead import Ahead, Asked
from fastmail_ingest.source.fetch import TakesAway, check_status, read_fetch, seems_to_swallow
from fastmail_ingest.source.large import Large
from fastmail_ingest.source.mailbox_names import refusal, resolve
from fastmail_ingest.source.session import Tokens, explained, hang_up, is_for_now, log_in
from fastmail_ingest.source.wire import check_bye, shown

# BODY.PEEK[] and EXAMINE: never BODY[] or SELECT, which would set \Seen (RFC 9051 6.4.5).
_ITEMS = ["UID", "FLAGS", "INTERNALDATE"]
_OBJECTID_ITEMS = ["EMAILID", "THREADID"]
_NAMING_ITEMS = {"UID", "INTERNALDATE", "X-GM-MSGID", "EMAILID"}
_STATUS_ITEMS = ("UIDVALIDITY", "UIDNEXT", "MESSAGES")
_DONE_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class Connection:
    """A logged-in connection of an account, with at most one mailbox open at a time.

    Every method raises LoginRefused, SourceUnavailable or ProtocolError; after any of them the
    connection is of no more use: `close` it and make another.
    """

    def __init__(
        self,
        account: Account,
        timeout_s: float,
        max_mail: int,
        tokens: Tokens | None = None,
        large: Large | None = None,
    ) -> None:
        self._account = account
        self._timeout_s = timeout_s
        self._max_mail = max_mail
        self._large = large
        self._client = log_in(account, timeout_s, tokens)
        self._items = self._items_to_fetch()
        self._names: dict[str, str] = {}
        self._open = ""
        self._ahead = Ahead(account.name)
        self.news = False  # the server has mentioned new mail since the last search

    def _items_to_fetch(self) -> str:
        items = list(_ITEMS)
        if gmail.is_spoken_by(self._client):
            items += gmail.ITEMS
        if self._client.has_capability("OBJECTID"):
            items += _OBJECTID_ITEMS
        return " ".join(items)

    @property
    def commands(self) -> int:
        """How many commands were sent over this connection."""
        return self._client.commands

    @property
    def waits_since(self) -> float:
        """Since when the server owes an answer, time.monotonic(); 0.0 if it owes none."""
        return self._client.wire.waits_since

    @property
    def can_idle(self) -> bool:
        """Whether the server can wake us (RFC 2177)."""
        return bool(self._client.has_capability("IDLE"))

    def status(self, mailbox: str) -> MailboxState | None:
        """What is in a mailbox, without opening it; None if the server does not say, or it is open now."""
        if mailbox == self._open:
            return None  # RFC 9051 6.3.11: not to be asked about the mailbox that is open
        with explained(self._account):
            self._ahead.check_none()
            try:
                answer = self._client.folder_status(self._name_of(mailbox), _STATUS_ITEMS)
            except IMAPClientAbortError:
                raise
            except IMAPClientError as error:
                if is_for_now(error):
                    raise
                return None
        items = [answer.get(item.encode()) for item in _STATUS_ITEMS]
        return MailboxState(*items) if all(isinstance(item, int) for item in items) else None

    def examine(self, mailbox: str) -> MailboxState:
        """Open a mailbox for reading only."""
        with explained(self._account):
            self._ahead.check_none()
            self._open = mailbox
            self._client.wire.shrink()
            try:
                answer = self._client.select_folder(self._name_of(mailbox), readonly=True)
            except IMAPClientAbortError:
                raise
            except IMAPClientError as error:
                if is_for_now(error):
                    raise
                if shuts_the_account(str(error)):
                    raise LoginRefused(
                        f"login was good, but {mailbox!r} cannot be opened: {error}. remedy: see that IMAP "
                        "is enabled for the mailbox, and at the provider's web site what it wants"
                    ) from error
                raise MailboxRefused(
                    refusal(self._client, mailbox, self._name_of(mailbox), str(error))
                ) from error
        self.news = False
        exists = int(answer.get(b"EXISTS", 0))
        if b"UIDVALIDITY" not in answer:
            raise MailboxRefused(
                f"account {self._account.name}: {mailbox} has no UIDVALIDITY, it cannot be followed"
            )
        gmail.warn_of_cap(self._client, f"{self._account.name}/{mailbox}", exists)
        told = int(answer.get(b"UIDNEXT", 0))
        uid_next = told or self._uid_next_by_search()
        sticky = b"UIDNOTSTICKY" not in answer
        return MailboxState(int(answer[b"UIDVALIDITY"]), uid_next, exists, sticky, told > 0)

    def _name_of(self, mailbox: str) -> str:
        if mailbox not in self._names:
            self._names[mailbox] = resolve(self._client, mailbox)
        return self._names[mailbox]

    def _uid_next_by_search(self) -> int:
        """For a server that does not tell UIDNEXT: one above the highest UID there is."""
        with explained(self._account):
            return max(self._client.search(["UID", "*"]), default=0) + 1

    def look(self) -> None:
        """Ask the server whether there is anything new; `news` tells."""
        with explained(self._account):
            self._ahead.check_none()
            _, answers = self._client.noop()
        self._note(answers)

    def uids_above(self, last_uid: int) -> list[int]:
        """The UIDs above `last_uid`, ascending; `n:*` names the last mail even below n, so drop it."""
        self.news = False
        self._client.take_news()
        with explained(self._account):
            self._ahead.check_none()
            found = self._client.search(["UID", f"{last_uid + 1}:*"])
        # What came while the server searched is announced behind the answer, and never again.
        self.news = self._client.take_news()
        return sorted(uid for uid in found if uid > last_uid)

    def fetch(
        self, window: Window, then: Window | None = None, *, headers_only: bool = False
    ) -> Iterator[Fetched]:
        """Stream the mails of a window as they arrive; flag updates and mails outside of it are dropped.

        Raises FetchRefused in the end if the server tells of a mail that is there, and does not give it out.

        `then` is the window that will be fetched next, and nothing else before it: it is asked for at once,
        so that no round trip passes between the two; some of its mails may come with this one already.
        """
        body = "RFC822.SIZE BODY.PEEK[HEADER]" if headers_only else "BODY.PEEK[]"
        doubtful: dict[int, bytes] = {}

        def takes_away(mail: Fetched, unknown_follows: bool) -> bool:
            if mail.raw is None or not (unknown_follows or mail.swallows or seems_to_swallow(mail.raw)):
                return False
            doubtful[mail.uid] = mail.content_hash
            return True

        with explained(self._account):
            asked = self._ahead.take(window) or Asked(window, self._ask(window, body))
            if then is not None and self._ahead.is_welcome:
                self._ahead.put(then, self._ask(then, body))
            for fetched in self._answer(asked, takes_away):
                has_body = fetched.raw is not None
                ours = asked.note(fetched.uid, has_body=has_body) or self._ahead.note(
                    fetched.uid, has_body=has_body
                )
                if has_body and ours:
                    yield fetched
                else:
                    fetched.discard()
            if doubtful:
                self._ahead.refuse("a mail of doubtful size must be asked for alone")
            for uid, hashed in doubtful.items():
                if window.first <= uid <= window.last:
                    yield self._once_more(uid, hashed, body)
            if bare := asked.bare - asked.given - doubtful.keys():
                self._check_gone(window, bare)

    def _answer(self, asked: Asked, takes_away: TakesAway) -> Iterator[Fetched]:
        """What has not come yet of a window."""
        if not asked.status:
            return self._read(asked.tag, takes_away)
        check_status("FETCH", asked.status)
        return iter(())

    def _check_gone(self, window: Window, bare: set[int]) -> None:
        """Mails that are told of, but whose bodies did not come: were they expunged, or are they withheld?"""
        self._ahead.refuse("a mail without its body must be looked for")
        there = bare.intersection(self._client.search(["UID", str(window)]))
        self.news = self._client.take_news() or self.news
        if there:
            raise FetchRefused(f"the mail server gives no body of {len(there)} mails, as of UID {min(there)}")

    def _ask(self, window: Window, body: str) -> bytes:
        return self._client.send_command(f"UID FETCH {window} ({self._items} {body})")

    def _read(self, tag: bytes, takes_away: TakesAway) -> Iterator[Fetched]:
        return read_fetch(self._client.wire, tag, self._max_mail, self._note_line, takes_away, self._large)

    def _once_more(self, uid: int, hashed: bytes, body: str) -> Fetched:
        """Fetch one mail alone: if it is the same as before, it had not swallowed what came behind it."""
        answers = self._read(self._ask(Window(uid, uid), body), lambda *_: False)
        mails = [mail for mail in answers if mail.uid == uid and mail.raw is not None]
        if not mails or any(mail.content_hash != hashed for mail in mails):
            for mail in mails:
                mail.discard()
            raise SourceUnavailable(f"the mail server tells two things of the mail with UID {uid}")
        return mails[0]

    def names(self, window: Window) -> list[Fetched]:
        """What names each mail of a window, and its date; no bodies, and each mail once."""
        named: dict[int, Fetched] = {}
        with explained(self._account):
            self._ahead.check_none()
            items = [item for item in self._items.split() if item in _NAMING_ITEMS]
            tag = self._client.send_command(f"UID FETCH {window} ({' '.join(items)})")
            for fetched in read_fetch(self._client.wire, tag, self._max_mail, self._note_line):
                known = named.get(fetched.uid)
                # A flag update may come in between, and names nothing but the UID.
                if known is None or not (known.internal_date or known.gm_msgid or known.email_id):
                    named[fetched.uid] = fetched
        return [named[uid] for uid in sorted(named) if window.first <= uid <= window.last]

    def wait(self, timeout_s: float, wake_fd: int) -> None:
        """Stay in IDLE until the server has news, `wake_fd` becomes readable, or time is up."""
        with explained(self._account):
            self._ahead.check_none()
            wire = self._client.wire
            wire.shrink()
            tag = self._client.send_command("IDLE")
            self._read_until(b"+", tag)
            if not self.news and wire.wait(timeout_s, wake_fd):
                self._hear(wire.line())
            wire.sock.settimeout(min(_DONE_TIMEOUT_S, self._timeout_s))
            self._client.send_line(b"DONE")
            check_status("IDLE", self._read_until(tag + b" ", tag)[len(tag) + 1 :])
            wire.sock.settimeout(self._timeout_s)

    def _read_until(self, start: bytes, tag: bytes) -> bytes:
        """Read the untagged lines before one that begins with `start`, and that one."""
        deadline = time.monotonic() + self._timeout_s
        while not (line := self._client.wire.line()).startswith(start):
            if line.startswith(tag + b" "):
                check_status("IDLE", line[len(tag) + 1 :])
            if not line.startswith(b"* "):
                raise ProtocolError(f"unexpected answer to IDLE: {shown(line)}")
            self._hear(line)
            if time.monotonic() > deadline:
                raise SourceUnavailable("the mail server says much and answers nothing")
        return line

    def _note(self, answers: list[tuple[object, ...]]) -> None:
        if any(b"EXISTS" in answer or b"RECENT" in answer for answer in answers):
            self.news = True

    def _hear(self, line: bytes) -> None:
        check_bye(line)
        self._note_line(line)

    def _note_line(self, line: bytes) -> bool:
        """A line that is no FETCH: all that matters is whether to look again. False if it makes no sense."""
        if not line.startswith(b"* "):
            return self._ahead.is_answered(line)
        if line.upper().rstrip().endswith((b" EXISTS", b" RECENT")):
            self.news = True
        return True

    def show_life(self, alive: Callable[[], None]) -> None:
        """Have `alive` called from time to time while an answer comes slowly, but comes."""
        self._client.wire.kept_pace = alive

    def close(self) -> None:
        """Hang up."""
        hang_up(self._client)
