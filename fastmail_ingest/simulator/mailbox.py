"""What the simulated server serves: mails, mailboxes, accounts, and the store of all accounts.

Everything here belongs to the event loop that runs the server; other threads go through `ServerThread.call`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import msgspec

from fastmail_ingest.simulator.uidset import UidSet

Content: TypeAlias = tuple[bytes, bytes]
"""The head (with the blank line that ends it) and the body of one mail."""

Render: TypeAlias = Callable[[int], Content]
"""Renders mail `number`; called at each fetch, so that a mailbox of 100,000 mails stays small."""

_HEAD_ENDS = (b"\r\n\r\n", b"\n\n")


class Fixed(msgspec.Struct, frozen=True, gc=False):
    """The `Render` of a mail that is held in memory; many mails may share one body object."""

    head: bytes
    body: bytes

    def __call__(self, _number: int) -> Content:
        """The same at each call."""
        return self.head, self.body


class Mail(msgspec.Struct, gc=False, kw_only=True):
    """One mail. `uid` 0 means that no mailbox has taken it yet; `internal_date` is in epoch seconds."""

    source: Render
    number: int = 0
    uid: int = 0
    flags: frozenset[str] = frozenset()
    internal_date: float = 0.0
    gm_msgid: int = 0
    gm_thrid: int = 0
    labels: tuple[str, ...] = ()
    asked: bool = False  # a FETCH has named it; noted only by a server with faults

    def render(self) -> Content:
        """Head and body; a lazily rendered mail is rendered at each call."""
        return self.source(self.number)

    @property
    def head(self) -> bytes:
        """The header block with the blank line that ends it."""
        return self.render()[0]

    @property
    def body(self) -> bytes:
        """All after the header block."""
        return self.render()[1]

    @property
    def size(self) -> int:
        """RFC822.SIZE, in bytes."""
        head, body = self.render()
        return len(head) + len(body)


def split_raw(raw: bytes) -> Content:
    """Head and body of a whole message; a message without a blank line is all head."""
    found = [(at, len(end)) for end in _HEAD_ENDS if (at := raw.find(end)) >= 0]
    if not found:
        return raw, b""
    at, width = min(found)
    return raw[: at + width], raw[at + width :]


def mail_of(raw: bytes, *, flags: Iterable[str] = (), internal_date: float = 0.0) -> Mail:
    """A mail held in memory, from the bytes of a whole message."""
    return Mail(source=Fixed(*split_raw(raw)), flags=frozenset(flags), internal_date=internal_date)


class Listener(Protocol):
    """Whoever wants to know at once what changes in a mailbox."""

    def appended(self, uid: int) -> None:
        """A mail arrived."""

    def expunged(self, uid: int) -> None:
        """A mail is gone."""

    def flagged(self, uid: int) -> None:
        """The flags of a mail changed."""


class Mailbox:
    """Mails in the order of their UIDs; `name` is in the form in which it goes over the wire."""

    def __init__(self, name: str, *, uid_validity: int = 1, special_use: str = "") -> None:
        self.name = name
        self.uid_validity = uid_validity
        self.special_use = special_use
        self.uid_next = 1
        self.mails: list[Mail] = []
        self.uids: list[int] = []  # the UID of each of `mails`: what bisect searches
        self._listeners: dict[int, Listener] = {}

    def __len__(self) -> int:
        return len(self.mails)

    def append(self, mail: Mail) -> Mail:
        """Take the mail under the next UID, or under its own if that leaves a gap; tell the listeners."""
        mail.uid = max(mail.uid, self.uid_next)
        self.uid_next = mail.uid + 1
        self.mails.append(mail)
        self.uids.append(mail.uid)
        for listener in tuple(self._listeners.values()):
            listener.appended(mail.uid)
        return mail

    def find(self, uid: int) -> Mail | None:
        """The mail with this UID, if it is (still) there."""
        at = bisect_left(self.uids, uid)
        return self.mails[at] if at < len(self.uids) and self.uids[at] == uid else None

    def select(self, uid_set: UidSet) -> list[Mail]:
        """The mails in the set, each once, by rising UID."""
        return [mail for part in uid_set.slices(self.uids) for mail in self.mails[part]]

    def expunge(self, uid: int) -> bool:
        """Remove the mail; false if it was not there."""
        at = bisect_left(self.uids, uid)
        if at == len(self.uids) or self.uids[at] != uid:
            return False
        del self.mails[at], self.uids[at]
        for listener in tuple(self._listeners.values()):
            listener.expunged(uid)
        return True

    def set_flags(self, mail: Mail, flags: frozenset[str]) -> None:
        """Replace the flags of a mail of this mailbox; tell the listeners if that changed anything."""
        if mail.flags != flags:
            mail.flags = flags
            for listener in tuple(self._listeners.values()):
                listener.flagged(mail.uid)

    def listen(self, listener: Listener) -> None:
        """Call this listener at each change from now on."""
        self._listeners[id(listener)] = listener

    def unlisten(self, listener: Listener) -> None:
        """Call it no more; harmless if it never listened."""
        self._listeners.pop(id(listener), None)

    def gm_msgid(self, mail: Mail) -> int:
        """The X-GM-MSGID: the mail's own, else one made of UIDVALIDITY and UID."""
        return mail.gm_msgid or (self.uid_validity << 32) + mail.uid


class Account(msgspec.Struct):
    """One user. `token_valid` judges an XOAUTH2 access token; without it every token is refused."""

    user: str
    password: str
    mailboxes: dict[str, Mailbox] = {}
    gmail: bool = False
    objectid: bool = False
    token_valid: Callable[[str], bool] | None = None

    def add(self, mailbox: Mailbox) -> Mailbox:
        """Put a mailbox into the account, under its name."""
        self.mailboxes[mailbox.name] = mailbox
        return mailbox

    def mailbox(self, name: str) -> Mailbox | None:
        """The mailbox of this name; INBOX in any case (RFC 3501 5.1)."""
        return self.mailboxes.get("INBOX" if name.upper() == "INBOX" else name)


class Store:
    """All accounts of one server."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self.accounts = {account.user: account for account in accounts}

    def by_password(self, user: str, password: str) -> Account | None:
        """The account, if there is one with this user and password."""
        account = self.accounts.get(user)
        return account if account is not None and account.password == password else None

    def by_token(self, user: str, token: str) -> Account | None:
        """The account, if its `token_valid` accepts this access token."""
        account = self.accounts.get(user)
        if account is None or account.token_valid is None or not account.token_valid(token):
            return None
        return account
