"""What becomes of a mail whose handler raised."""

import math
from datetime import timedelta

import msgspec

from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.policy.backoff import Backoff, delay_s
from fastmail_ingest.policy.faulty import names_of, unwrapped

DELAY_MAX_S = 10 * 365 * 86_400.0
# Where a breaker is about to let a probe through, all postponed mails would come back at once.
POSTPONE_MIN_S = 1.0


class RetryRule(msgspec.Struct, frozen=True):
    """How often and how patiently a failing mail is tried; `reject`: not at all."""

    attempts: int
    backoff: Backoff
    reject: bool = False


class ErrorRules(msgspec.Struct, frozen=True):
    """Which rule holds for which exception: `by_name` (class names, bare or qualified), else `default`."""

    default: RetryRule
    by_name: dict[str, RetryRule] = {}

    def rule_for(self, error: BaseException) -> RetryRule:
        """The rule of the most specific class that has one; of two names for it, the qualified one's."""
        if not self.by_name:
            return self.default
        named = (self.by_name[name] for name in names_of(unwrapped(error)) if name in self.by_name)
        return next(named, self.default)


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
    error: BaseException, failures: int, rules: ErrorRules, random: float
) -> TryAgain | Postpone | GiveUp:
    """Decide on a mail that failed now for the `failures`-th time; `random` in [0, 1).

    `Reject` gives up at once, `CircuitOpen` waits for its breaker whatever the rules say, `Retry(after=...)`
    names its own delay, anything else backs off.
    """
    error = unwrapped(error)
    if isinstance(error, CircuitOpen):
        return Postpone(max(POSTPONE_MIN_S, _known_s(error.retry_in_s) or 0.0))
    rule = rules.rule_for(error)
    # A rule for a wide class, say Exception, must not overrule a handler that asks for another try.
    if isinstance(error, Reject) or (rule.reject and not isinstance(error, Retry)):
        return GiveUp("rejected")
    if failures >= rule.attempts:
        return GiveUp("retries_exhausted")
    if isinstance(error, Retry) and (wanted := _known_s(error.after)) is not None:
        return TryAgain(wanted)
    return TryAgain(delay_s(rule.backoff, failures, random))


def _known_s(after: object) -> float | None:
    """The delay that was asked for, in seconds; None if none was, or one that no clock knows."""
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if isinstance(after, int):
        return float(min(max(0, after), int(DELAY_MAX_S)))  # of any size: only floats can be infinite
    if not isinstance(after, float) or not math.isfinite(after):
        return None
    return min(max(0.0, after), DELAY_MAX_S)
