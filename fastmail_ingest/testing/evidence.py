"""What a run leaves behind for the judge: plain values, so that a test can doctor them."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from fastmail_ingest.testing.ledger_view import DeadLetter
from fastmail_ingest.testing.plan import Action
from fastmail_ingest.testing.records import Records
from fastmail_ingest.testing.supervised import Ended

_AFTER_EFFECT_S = 1.0
# What keeps anybody from taking over a dead worker's mails; all else must not.
_HINDERING = (
    Action.KILL_SUPERVISOR, Action.KILL_MAINTENANCE, Action.KILL_REDIS, Action.STOP_REDIS, Action.STOP_WORKER,
    Action.FILL_MEMORY, Action.READ_ONLY, Action.NO_REPLICAS, Action.DROP_GROUPS,
)  # fmt: skip


class Deed(msgspec.Struct):
    """An action that was done: when (time.monotonic()), until when it lasted, and to which process."""

    action: Action
    at: float
    until: float
    pid: int = 0

    def in_words(self, started: float) -> str:
        """One line, with times since `started`."""
        lasted = f", for {self.until - self.at:.3f} s" if self.until > self.at else ""
        whom = f" (pid {self.pid})" if self.pid else ""
        return f"{self.at - started:9.3f} s  {self.action}{whom}{lasted}"

    def hinders(self, since: float, until: float) -> bool:
        """Whether a recovery in this time may be late because of it."""
        touches = self.at <= until and since <= self.until + _AFTER_EFFECT_S
        return touches and self.action in _HINDERING


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All facts of one run."""

    expected: Collection[str]  # the identities of all mails that were delivered
    vanished: Collection[str]  # of which these were removed on the server meanwhile
    struck: Mapping[str, int]  # the mail server's faults
    records: Records
    deeds: Sequence[Deed]
    log_deaths: Sequence[Ended]  # their times shifted to time.monotonic()
    dead_letters: Sequence[DeadLetter]
    effects: Sequence[str]
    queued: Collection[str]
    breaches: Sequence[str]  # of the ledger, as seen from outside
    troubles: Sequence[str]  # what went wrong with the run itself
    started: float = 0.0  # time.monotonic()
    log_tail: Sequence[str] = ()
