"""What becomes of a mail whose handler raised."""

import math
from collections.abc import Set
from datetime import timedelta

import msgspec

from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.policy.backoff import Backoff, delay_s
from fastmail_ingest.policy.faulty import names_of, speaks_of_a_dependency, unwrapped

DELAY_MAX_S = 10 * 365 * 86_400.0
# Where a breaker is about to let a probe through, all postponed mails would come back at once.
POSTPONE_MIN_S = 1.0
# What waits for a dependency is late by no more than this when it is back.
OUTAGE_WAIT_MAX_S = 300.0


class RetryRule(msgspec.Struct, frozen=True):
    """How often and how patiently a failing mail is tried; `reject`: not at all."""

    attempts: int
    backoff: Backoff
    reject: bool = False


class ErrorRules(msgspec.Struct, frozen=True):
    """Which rule holds for which exception: `by_name` (class names, bare or qualified), else `default`.

    Exceptions of the classes `outages` without a rule of their own are no failures of a mail that waits for
    less than `patience_s` seconds.
    """

    default: RetryRule
    by_name: dict[str, RetryRule] = {}
    outages: Set[str] = frozenset()
    patience_s: float = 0.0

    def rule_for(self, error: BaseException) -> RetryRule:
        """The rule of the most specific class that has one; of two names for it, the qualified one's."""
        return self._named(error) or self.default

    def excuses(self, error: BaseException, waiting_s: float) -> bool:
        """Whether a mail that waits for so long, s, is tried again without counting this failure."""
        return (
            waiting_s < self.patience_s
            and speaks_of_a_dependency(error, self.outages)
            and self._named(error) is None
        )

    def _named(self, error: BaseException) -> RetryRule | None:
        if not self.by_name:
            return None
        return next((self.by_name[n] for n in names_of(unwrapped(error)) if n in self.by_name), None)


class Past(msgspec.Struct, frozen=True):
    """What a mail has been through: its failures and attempts, this one included, and its age in s."""

    failures: int
    attempts: int
    waiting_s: float


class TryAgain(msgspec.Struct, frozen=True):
    """Call the handler again after so many seconds."""

    after_s: float


class Postpone(msgspec.Struct, frozen=True):
    """Call the handler again after so many seconds, and count no failure: it was not the mail's."""

    after_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """To the dead letters, for this reason."""

    reason: str


def decide(
    error: BaseException, past: Past, rules: ErrorRules, random: float
) -> TryAgain | Postpone | GiveUp:
    """Decide on a mail whose handler raised `error`; `random` in [0, 1).

    `Reject` gives up at once, `CircuitOpen` waits for its breaker whatever the rules say, `Retry(after=...)`
    names its own delay, anything else backs off; what speaks of an outage is not the mail's failure.
    """
    error = unwrapped(error)
    if isinstance(error, CircuitOpen):
        return Postpone(max(POSTPONE_MIN_S, _known_s(error.retry_in_s) or 0.0))
    rule = rules.rule_for(error)
    # A rule for a wide class, say Exception, must not overrule a handler that asks for another try.
    if isinstance(error, Reject) or (rule.reject and not isinstance(error, Retry)):
        return GiveUp("rejected")
    wanted_s = _known_s(error.after) if isinstance(error, Retry) else None
    if rules.excuses(error, past.waiting_s):
        wait_s = min(OUTAGE_WAIT_MAX_S, delay_s(rule.backoff, past.attempts, random))
        return Postpone(wait_s if wanted_s is None else wanted_s)
    if past.failures >= rule.attempts:
        return GiveUp("retries_exhausted")
    return TryAgain(delay_s(rule.backoff, past.failures, random) if wanted_s is None else wanted_s)


def _known_s(after: object) -> float | None:
    """The delay that was asked for, in seconds; None if none was, or one that no clock knows."""
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if isinstance(after, int):
        return float(min(max(0, after), int(DELAY_MAX_S)))  # of any size: only floats can be infinite
    if not isinstance(after, float) or not math.isfinite(after):
        return None
    return min(max(0.0, after), DELAY_MAX_S)
