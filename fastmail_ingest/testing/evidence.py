"""What a run leaves behind for the judge: plain values, so that a test can doctor them."""

from collections.abc import Collection, Sequence

import msgspec

from fastmail_ingest.testing.ledger_view import DeadLetter
from fastmail_ingest.testing.plan import Action
from fastmail_ingest.testing.records import Records
from fastmail_ingest.testing.supervised import Ended

_AFTER_EFFECT_S = 1.0


class Deed(msgspec.Struct):
    """An action that was done: when (time.monotonic()), until when it lasted, and to which process."""

    action: Action
    at: float
    until: float
    pid: int = 0

    def touches(self, since: float, until: float) -> bool:
        """Whether its effects may be felt in this time."""
        return self.at <= until and since <= self.until + _AFTER_EFFECT_S


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All facts of one run."""

    expected: Collection[str]  # the identities of all mails that were delivered
    vanished: Collection[str]  # of which these were removed on the server meanwhile
    records: Records
    deeds: Sequence[Deed]
    log_deaths: Sequence[Ended]  # their times shifted to time.monotonic()
    dead_letters: Sequence[DeadLetter]
    effects: Sequence[str]
    queued: Collection[str]
    breaches: Sequence[str]  # of the ledger, as seen from outside
    troubles: Sequence[str]  # what went wrong with the run itself
