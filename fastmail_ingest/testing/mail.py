"""Where the mails of a run come from: a port, and the simulated server behind it."""

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Protocol

import msgspec

from fastmail_ingest.model.identity import identify
from fastmail_ingest.simulator import (
    Account,
    Corpus,
    Faults,
    ImapServer,
    Mailbox,
    ServerThread,
    Store,
    preload,
)
from fastmail_ingest.testing.plan import Chaos

ACCOUNT = "chaos"
_PASSWORD = "chaos"  # noqa: S105 - of a server on loopback that holds made-up mails
_UID_VALIDITY = 7
_DRIP_S = 0.02


class Login(msgspec.Struct, frozen=True):
    """How the mails are reached, as it stands in the configuration."""

    port: int
    user: str
    password: str
    mailboxes: list[str]


class MailSource(Protocol):
    """A mail server with empty mailboxes, into which a run delivers. Use it in a `with` block."""

    @property
    def login(self) -> Login:
        """How to reach it on 127.0.0.1, without TLS."""

    def identity(self, number: int) -> str:
        """The `email.id` that mail `number` will have, from 0 on in the order of delivery."""

    def deliver(self, first: int, count: int) -> None:
        """Put mails `first` to `first + count - 1` into the mailboxes."""

    def vanished(self) -> Collection[str]:
        """The identities of mails that were removed on the server before anybody could fetch them."""

    def struck(self) -> Mapping[str, int]:
        """How often the server failed on purpose, by kind of fault."""


class SimulatedMail:
    """The simulator, with mails dealt out to several mailboxes."""

    def __init__(self, chaos: Chaos) -> None:
        self._corpus = Corpus(size=chaos.size)
        names = ["INBOX", *(f"Folder-{number}" for number in range(1, chaos.mailboxes))]
        self._mailboxes = [Mailbox(name, uid_validity=_UID_VALIDITY) for name in names]
        account = Account(ACCOUNT, _PASSWORD)
        for mailbox in self._mailboxes:
            account.add(mailbox)
        self._faults = Faults(chaos.seed, chaos.mail_faults, drip_s=_DRIP_S)
        self._server = ImapServer(Store([account]), faults=self._faults)
        self._thread = ServerThread(self._server)

    def __enter__(self) -> "SimulatedMail":
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.__exit__(kind, error, trace)

    @property
    def login(self) -> Login:
        """See MailSource."""
        names = [mailbox.name for mailbox in self._mailboxes]
        return Login(self._thread.port, ACCOUNT, _PASSWORD, names)

    def identity(self, number: int) -> str:
        """See MailSource."""
        turn, box = divmod(number, len(self._mailboxes))
        return identify(ACCOUNT, self._mailboxes[box].name, _UID_VALIDITY, turn + 1)

    def deliver(self, first: int, count: int) -> None:
        """See MailSource."""
        self._thread.call(lambda: self._append(first, count))

    def _append(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            preload(self._mailboxes[number % len(self._mailboxes)], self._corpus, 1, number)

    def vanished(self) -> Collection[str]:
        """See MailSource."""
        return {identify(ACCOUNT, box, _UID_VALIDITY, uid) for box, uid in tuple(self._faults.expunged)}

    def struck(self) -> Mapping[str, int]:
        """See MailSource."""
        return {fault.value: count for fault, count in self._faults.struck.items()}
