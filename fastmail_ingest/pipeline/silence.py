"""Signs of life of one connection: whether our thread gives them, and whether the mail server owes an answer.

A server that is silent in IDLE owes nothing. So IDLE is left and begun anew every now and then, see
policy.polling: whoever answers that is there.
"""

import time
from collections.abc import Callable

from fastmail_ingest.errors import FastmailIngestError, LimitReached, LoginRefused, TooManyConnections
from fastmail_ingest.pipeline.ports import MailSource

_GRACE_S = 60.0  # beyond what a step may take, before a thread counts as stuck
# The server has answered: that the account must wait is told by its standing.
_ANSWERS = (LoginRefused, LimitReached, TooManyConnections)


class Silence:
    """Written by the thread of the connection, read by any. Times are time.monotonic(), 0.0 for never.

    While the account `is_shut`, nobody is asked and nothing is owed.
    """

    def __init__(self, is_shut: Callable[[], bool]) -> None:
        self._is_shut = is_shut
        self._quiet_until = 0.0
        self._connecting_at = 0.0
        self._failing_since = 0.0
        self._source: MailSource | None = None

    def expect_within(self, seconds: float) -> None:
        """Our next step will not take longer than this; each answer of Redis or the mail server is a step."""
        self._quiet_until = time.monotonic() + seconds + _GRACE_S

    def overdue_s(self, now: float) -> float:
        """For how long our thread has given no sign of life when it should have; 0.0 if all is well."""
        return max(0.0, now - self._quiet_until)

    def connecting(self) -> None:
        """A connection is being made, up to the login."""
        self._connecting_at = time.monotonic()

    def connected(self, source: MailSource) -> None:
        """From now on `source` knows whether it waits."""
        self._source, self._connecting_at = source, 0.0

    def served(self) -> None:
        """The server did what it was asked for."""
        self._failing_since = 0.0

    def ended(self) -> None:
        """The connection was given up in good order."""
        self._source, self._connecting_at = None, 0.0

    def failed(self, error: FastmailIngestError) -> None:
        """The connection is lost; until one serves again, it counts as silent."""
        owing_since = self._since() or time.monotonic()
        self._failing_since = 0.0 if isinstance(error, _ANSWERS) else owing_since
        self.ended()

    def unanswered_s(self, now: float) -> float:
        """For how long the server owes an answer, or does not serve us; 0.0 if it owes none."""
        since = 0.0 if self._is_shut() else self._since()
        return max(0.0, now - since) if since else 0.0

    def _since(self) -> float:
        source = self._source
        waits_since = source.waits_since if source is not None else 0.0
        return self._failing_since or self._connecting_at or waits_since
