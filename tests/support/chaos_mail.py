"""Dovecot as the mail server of a chaos run."""

from collections.abc import Collection, Mapping
from types import TracebackType

from fastmail_ingest.model.identity import identify
from fastmail_ingest.simulator import Corpus
from fastmail_ingest.testing import Chaos, Login
from support.dovecot import PASSWORD, Dovecot

ACCOUNT = "chaos"


class DovecotMail:
    """A fresh user's INBOX on a running Dovecot."""

    def __init__(self, dovecot: Dovecot, chaos: Chaos) -> None:
        self._dovecot = dovecot
        self._corpus = Corpus(size=chaos.size)
        self._user = f"chaos{chaos.seed}"

    def __enter__(self) -> "DovecotMail":
        self._client = self._dovecot.client(self._user)
        self._uid_validity = self._client.folder_status("INBOX", ["UIDVALIDITY"])[b"UIDVALIDITY"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.logout()

    @property
    def login(self) -> Login:
        return Login(self._dovecot.port, self._user, PASSWORD, ["INBOX"])

    def identity(self, number: int) -> str:
        return identify(ACCOUNT, "INBOX", self._uid_validity, number + 1)

    def deliver(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._client.append("INBOX", b"".join(self._corpus.render(number)))

    def vanished(self) -> Collection[str]:
        return ()

    def struck(self) -> Mapping[str, int]:
        return {}
