"""What lies in a mailbox since long: which mails of a span of days there are, and how large they are."""

from array import array
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.source.session import explained

# UIDs a SEARCH: an answer is one line, and must not become too long for anybody.
_SEARCH_UIDS = 50_000
_DAY = timedelta(days=1)


class Scattered(Window, frozen=True):
    """Some UIDs, ascending, from `first` to `last`."""

    uids: tuple[int, ...] = ()

    @classmethod
    def of(cls, uids: Sequence[int]) -> "Scattered":
        """These UIDs, at least one."""
        return cls(uids[0], uids[-1], tuple(uids))

    def __str__(self) -> str:
        """The sequence set (RFC 9051 9), as in 3:7,9."""
        runs: list[list[int]] = []
        for uid in self.uids:
            if runs and uid == runs[-1][1] + 1:
                runs[-1][1] = uid
            else:
                runs.append([uid, uid])
        return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in runs)


class HistoryConnection(Connection):
    """A connection that can also look back. Raises what a Connection raises."""

    def uids_between(self, since: date | None, until: date | None, uid_next: int) -> Sequence[int]:
        """The UIDs of the mails that came from `since` to `until`, both included, ascending.

        A day more on either side: servers count days in time zones of their own (RFC 9051 6.4.4, SINCE).
        """
        days: list[object] = []
        if since is not None and since > date.min + _DAY:
            days += ["SINCE", since - _DAY]
        if until is not None and until < date.max - 2 * _DAY:
            days += ["BEFORE", until + 2 * _DAY]
        found = array("L")
        with explained(self._account):
            for first in range(1, uid_next, _SEARCH_UIDS):
                part = Window(first, min(first + _SEARCH_UIDS, uid_next) - 1)
                uids = self._client.search(["UID", str(part), *days])
                found.extend(sorted(uid for uid in uids if part.first <= uid <= part.last))
        return found

    def sizes(self, window: Window) -> Iterator[int]:
        """The sizes in bytes of the mails in a window, as the server tells them."""
        with explained(self._account):
            tag = self._client.send_command(f"UID FETCH {window} (UID RFC822.SIZE)")
            for fetched in read_fetch(self._client.wire, tag, self._max_mail, self._note_line):
                yield fetched.size
