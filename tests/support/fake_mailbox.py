"""A mailbox and an intake in memory, for the pipeline without mail server and Redis."""

from collections.abc import Callable, Iterator, Sequence

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.model.append import Append, Appended
from fastmail_ingest.model.mailbox import Beginning, Cursor, Fetched, MailboxKey, MailboxState
from fastmail_ingest.model.pressure import RedisMemory
from fastmail_ingest.policy.uidplan import Window
from support.books import MemoryBooks


class Shelf:
    """An intake in memory, for one mailbox."""

    unavailable = ()

    def __init__(self) -> None:
        self.accounts = MemoryBooks()
        self.at = Cursor()
        self.began = Beginning()
        self.taken: dict[str, int] = {}  # identity, and how often it came

    def cursor(self, _key: MailboxKey) -> Cursor:
        return self.at

    def beginning(self, _key: MailboxKey) -> Beginning:
        return self.began

    def known(self, mails: Sequence[tuple[str, bytes]]) -> list[bool]:
        return [identity in self.taken for identity, _ in mails]

    def append(self, append: Append) -> Appended:
        for mail in append.mails:
            self.taken[mail.identity] = self.taken.get(mail.identity, 0) + 1
        in_place = append.believed == self.at
        self.at = append.cursor if in_place else self.at
        self.began = append.began or self.began
        return Appended(len(append.mails), 0, 0, in_place)

    def waiting(self) -> tuple[int, int]:
        return 0, 0

    def memory(self) -> RedisMemory:
        return RedisMemory(0, 0)


class FakeServer:
    """A mailbox; the connection breaks `cut_after` mails of a FETCH, and at each mail in `poison`.

    `given` mails of one byte each were handed out.
    """

    news = False
    commands = 0
    can_idle = False
    waits_since = 0.0

    def __init__(self, *uids: int, uid_validity: int = 7, uid_next: int = 0, sticky: bool = True) -> None:
        self.uids = uids
        self.state = MailboxState(uid_validity, uid_next or max(uids, default=0) + 1, len(uids), sticky)
        self.cut_after = 1 << 30
        self.poison: set[int] = set()
        self.given = 0

    def examine(self, _mailbox: str) -> MailboxState:
        return self.state

    def uids_above(self, last_uid: int) -> list[int]:
        return [uid for uid in self.uids if uid > last_uid]

    def look(self) -> None:
        pass

    def fetch(self, window: Window, then: Window | None = None) -> Iterator[Fetched]:
        for number, uid in enumerate(uid for uid in self.uids if window.first <= uid <= window.last):
            if number >= self.cut_after or uid in self.poison:
                raise SourceUnavailable("cut")
            self.given += 1
            yield Fetched(uid, size=1, raw=b"%d" % uid)

    def show_life(self, alive: Callable[[], None]) -> None:
        pass

    def close(self) -> None:
        pass
