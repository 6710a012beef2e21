"""What becomes of a mail whose handler raised."""

import msgspec

from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.policy.backoff import Backoff, delay_s


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
    if isinstance(error, Retry) and error.after is not None:
        return TryAgain(max(0.0, error.after))
    return TryAgain(delay_s(backoff, failures, random))
