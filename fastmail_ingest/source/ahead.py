"""The one FETCH that is asked for before its turn, so that a long line never runs empty (RFC 9051 5.5).

Untagged responses bear no tag. So this is for servers that answer one command after the other, as nearly all
do; one that mixes two answers, or whose answers must be looked at again, is asked in turn from then on.
"""

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.policy.uidplan import Window

# Accounts whose server is asked in turn, as long as this process lives.
_in_turn: set[str] = set()


class Ahead:
    """What was asked for ahead over one connection: at most one window."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._window: Window | None = None
        self._tag = b""

    @property
    def is_welcome(self) -> bool:
        """Whether the server may be asked ahead."""
        return self._account not in _in_turn

    def put(self, window: Window, tag: bytes) -> None:
        """Note what was asked for, and under which tag the answer ends."""
        self._window, self._tag = window, tag

    def take(self, window: Window) -> bytes:
        """The tag under which this window was asked for, empty if it was not."""
        if self._window != window:
            self.check_none()
            return b""
        self._window = None
        return self._tag

    def check_none(self) -> None:
        """Raise SourceUnavailable if an answer is under way that nobody wants any more."""
        if self._window is not None:
            raise SourceUnavailable(f"UIDs {self._window} were asked for ahead and are not wanted any more")

    def refuse_early(self, uid: int) -> None:
        """A mail came that was not asked for now: if it was asked for ahead, its place is not here."""
        if self._window is not None and self._window.first <= uid <= self._window.last:
            self.refuse("the mail server answers two commands at once")

    def refuse(self, reason: str) -> None:
        """Ask in turn from now on; raises SourceUnavailable if something was asked for ahead."""
        if self._window is not None:
            _in_turn.add(self._account)
            raise SourceUnavailable(f"{reason}; it is asked in turn from now on")
