"""One client's session: who it is, which mailbox it has selected, and what it must still be told of it."""

import ssl
from bisect import bisect_left

import msgspec

from fastmail_ingest.simulator.faults import Faults
from fastmail_ingest.simulator.mailbox import Account, Mailbox, Store
from fastmail_ingest.simulator.wire import Wire

_BASE = (
    b"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE NAMESPACE UNSELECT IDLE CHILDREN SPECIAL-USE ESEARCH UIDPLUS"
    b" AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER"
)


class Tally(msgspec.Struct):
    """What all sessions of one server did so far, for tests and for the curious."""

    connections: int = 0
    logins: int = 0
    refused_logins: int = 0
    commands: int = 0
    fetched: int = 0
    flags_set: int = 0


class Session:
    """The state of one connection; it hears of mailbox changes as a `Listener`.

    `view` holds the UIDs that the client knows of, in order, so that index + 1 is the sequence number. What
    happens meanwhile is kept back until `report`: sequence numbers must not change under a running command
    (RFC 3501 7.4.1).
    """

    def __init__(self, wire: Wire, store: Store, tally: Tally, ssl_context: ssl.SSLContext | None) -> None:
        self.wire = wire
        self.store = store
        self.tally = tally
        self.ssl_context = ssl_context
        self.account: Account | None = None
        self.mailbox: Mailbox | None = None
        self.read_only = True
        self.view: list[int] = []
        self.tag = b""
        self.idling = False
        self.wants_tls = False
        self.ended = False
        self.faults: Faults | None = None
        self.silent = False  # keep the news back at the next report
        self.flags_set = 0
        self._appended: list[int] = []
        self._expunged: list[int] = []
        self._flagged: set[int] = set()

    def send(self, *lines: bytes) -> None:
        """Send untagged or tagged lines; the line ends are added here."""
        self.wire.send([line + b"\r\n" for line in lines])

    @property
    def capabilities(self) -> bytes:
        """What the server can do for this client now; it changes with login and STARTTLS."""
        words = [_BASE]
        accounts = self.store.accounts.values() if self.account is None else (self.account,)
        if self.ssl_context is not None and not self.wire.encrypted:
            words.append(b"STARTTLS")
        if any(account.gmail for account in accounts):
            words.append(b"X-GM-EXT-1")
        if any(account.objectid for account in accounts):
            words.append(b"OBJECTID")
        return b" ".join(words)

    def select(self, mailbox: Mailbox, read_only: bool) -> None:
        """Make this the selected mailbox, with all its mails in view."""
        self.unselect()
        self.mailbox, self.read_only = mailbox, read_only
        self.view = mailbox.uids.copy()
        mailbox.listen(self)

    def unselect(self) -> None:
        """Have no mailbox selected; harmless if there is none."""
        if self.mailbox is not None:
            self.mailbox.unlisten(self)
        self.mailbox, self.read_only, self.view = None, True, []
        self._appended, self._expunged, self._flagged = [], [], set()

    def count_flags(self, changed: int) -> None:
        """Note that this client set flags: by STORE, or by a BODY[] without PEEK."""
        self.flags_set += changed
        self.tally.flags_set += changed

    def appended(self, uid: int) -> None:
        """A mail arrived in the selected mailbox."""
        self._appended.append(uid)
        if self.idling:
            self.report()

    def expunged(self, uid: int) -> None:
        """A mail of the selected mailbox is gone."""
        self._flagged.discard(uid)
        if uid in self._appended:
            self._appended.remove(uid)
            return
        self._expunged.append(uid)
        if self.idling:
            self.report()

    def flagged(self, uid: int) -> None:
        """The flags of a mail in the selected mailbox changed."""
        self._flagged.add(uid)
        if self.idling:
            self.report()

    def forget_flagged(self, uid: int) -> None:
        """The client just learned the flags of this mail by a response to its own command."""
        self._flagged.discard(uid)

    def report(self) -> None:
        """Tell the client all that changed since the last report."""
        if self.silent:
            self.silent = False
            return
        if not (self._appended or self._expunged or self._flagged):
            return
        lines = [self._remove(uid) for uid in self._expunged]
        if self._appended:
            self.view.extend(self._appended)
            lines += [b"* %d EXISTS" % len(self.view), b"* 0 RECENT"]
        lines += [self.flags_line(uid) for uid in sorted(self._flagged)]
        self._appended, self._expunged, self._flagged = [], [], set()
        self.send(*lines)

    def _remove(self, uid: int) -> bytes:
        at = bisect_left(self.view, uid)
        del self.view[at]
        return b"* %d EXPUNGE" % (at + 1)

    def flags_line(self, uid: int) -> bytes:
        """The untagged FETCH that tells the flags of a mail in view."""
        mail = self.mailbox.find(uid) if self.mailbox is not None else None
        flags = " ".join(sorted(mail.flags)).encode() if mail is not None else b""
        return b"* %d FETCH (UID %d FLAGS (%s))" % (bisect_left(self.view, uid) + 1, uid, flags)
