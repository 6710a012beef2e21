"""What becomes of a mail whose handler raised."""

import math
from datetime import timedelta

import msgspec

from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.policy.backoff import Backoff, delay_s

DELAY_MAX_S = 10 * 365 * 86_400.0


class TryAgain(msgspec.Struct, frozen=True):
    """Call the handler again after so many seconds."""

    after_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """To the dead letters, for this reason."""

    reason: str


def decide(
    error: BaseException, failures: int, attempts: int, backoff: Backoff, random: float
) -> TryAgain | GiveUp:
    """Decide on a mail that failed now for the `failures`-th time; `attempts` calls are allowed in all.

    `Reject` gives up at once, `Retry(after=...)` names its own delay, anything else backs off.
    """
    if isinstance(error, Reject):
        return GiveUp("rejected")
    if failures >= attempts:
        return GiveUp("retries_exhausted")
    if isinstance(error, Retry) and (wanted := _wanted_s(error.after)) is not None:
        return TryAgain(wanted)
    return TryAgain(delay_s(backoff, failures, random))


def _wanted_s(after: object) -> float | None:
    """The delay that a handler asked for; None if it asked for none, or for one that no clock knows."""
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if not isinstance(after, (int, float)) or not math.isfinite(after):
        return None
    return min(max(0.0, after), DELAY_MAX_S)
