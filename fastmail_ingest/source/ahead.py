"""The one FETCH that is asked for before its turn, so that a long line never runs empty (RFC 9051 5.5).

Untagged responses bear no tag, and a server may answer both at once, as Dovecot does while its output waits.
So a mail belongs to the window that its UID lies in, whenever it comes. What must be asked for alone, in the
middle of that, ends the connection: from then on the account's server is asked in turn.
"""

from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.policy.uidplan import Window

# Accounts whose server is asked in turn, as long as this process lives.
_in_turn: set[str] = set()


class Asked:
    """A window that was asked for: the tag under which its answer ends, and what has come of it.

    `given` are the UIDs of the mails that came, `bare` those that came without a body; `status` is the tagged
    answer without its tag, once it is there.
    """

    def __init__(self, window: Window, tag: bytes) -> None:
        self.window = window
        self.tag = tag
        self.given: set[int] = set()
        self.bare: set[int] = set()
        self.status = b""

    def note(self, uid: int, *, has_body: bool) -> bool:
        """Whether this mail is one of this window, which is noted."""
        if not self.window.first <= uid <= self.window.last:
            return False
        (self.given if has_body else self.bare).add(uid)
        return True


class Ahead:
    """What was asked for ahead over one connection: at most one window."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._asked: Asked | None = None

    @property
    def is_welcome(self) -> bool:
        """Whether the server may be asked ahead."""
        return self._account not in _in_turn

    def put(self, window: Window, tag: bytes) -> None:
        """Note what was asked for, and under which tag the answer ends."""
        self._asked = Asked(window, tag)

    def take(self, window: Window) -> Asked | None:
        """The window if it was asked for, None if nothing was; raises SourceUnavailable if another was."""
        if self._asked is None or self._asked.window != window:
            self.check_none()
            return None
        asked, self._asked = self._asked, None
        return asked

    def note(self, uid: int, *, has_body: bool) -> bool:
        """Whether this mail was asked for ahead, which is noted."""
        return self._asked is not None and self._asked.note(uid, has_body=has_body)

    def is_answered(self, line: bytes) -> bool:
        """Whether this is the end of the answer to what was asked for ahead, which is noted."""
        if self._asked is None or not line.startswith(self._asked.tag + b" "):
            return False
        self._asked.status = line[len(self._asked.tag) + 1 :]
        return True

    def check_none(self) -> None:
        """Raise SourceUnavailable if an answer is under way that nobody wants any more."""
        if self._asked is not None:
            raise SourceUnavailable(
                f"UIDs {self._asked.window} were asked for ahead and are not wanted any more"
            )

    def refuse(self, reason: str) -> None:
        """Ask in turn from now on; raises SourceUnavailable if something was asked for ahead."""
        if self._asked is not None:
            _in_turn.add(self._account)
            raise SourceUnavailable(f"{reason}; the server is asked in turn from now on")
