"""A simulated mail server, as most tests need it."""

from fastmail_ingest.simulator import Account, Corpus, ImapServer, Mailbox, ServerThread, Store, preload


class Simulated:
    """A simulated mail server with one INBOX."""

    def __init__(self) -> None:
        self.mailbox = Mailbox("INBOX", uid_validity=7)
        account = Account("u", "p")
        account.add(self.mailbox)
        self._corpus = Corpus(size=2000)
        self.server = ServerThread(ImapServer(Store([account])))

    @property
    def port(self) -> int:
        return self.server.port

    def add(self, count: int) -> None:
        first = len(self.mailbox)
        self.server.call(lambda: preload(self.mailbox, self._corpus, count, first))
