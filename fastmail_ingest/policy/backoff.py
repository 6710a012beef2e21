"""How long to wait before the next try."""

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Exponential waiting: first, first x multiplier, ... up to cap, each spread by +- jitter."""

    first_s: float
    multiplier: float
    cap_s: float
    jitter: float  # 0 to 1: share of the delay by which it may be longer or shorter


RECONNECT = Backoff(first_s=0.25, multiplier=2.0, cap_s=60.0, jitter=0.3)
# Whoever waits for Redis goes on within a second of its return.
REDIS_RECONNECT = Backoff(first_s=0.02, multiplier=2.0, cap_s=0.6, jitter=0.3)
# Providers lock accounts that knock too often: a handful of tries an hour at the most.
LOGIN_REFUSED = Backoff(first_s=300.0, multiplier=2.0, cap_s=3600.0, jitter=0.2)
# Only a human can end this; a look at the token file, which asks no server, tells when that has happened.
GRANT_REVOKED = Backoff(first_s=5.0, multiplier=1.5, cap_s=30.0, jitter=0.2)
# A used-up limit ends after an hour at the best, after a day at the worst; a probe now and then tells.
LIMIT_REACHED = Backoff(first_s=600.0, multiplier=2.0, cap_s=4 * 3600.0, jitter=0.2)
# "Not now", again and again: throttled for minutes or hours, and no word about how long.
SERVER_BUSY = Backoff(first_s=30.0, multiplier=2.0, cap_s=900.0, jitter=0.2)
TOO_MANY_CONNECTIONS = Backoff(first_s=15.0, multiplier=2.0, cap_s=600.0, jitter=0.3)
# A mail that its server does not give out, or always wrongly.
QUARANTINED = Backoff(first_s=300.0, multiplier=3.0, cap_s=86400.0, jitter=0.2)

# None of them waits longer. A time that is further away was written by a clock that was wrong.
LONGEST_S = 36 * 3600.0


def left_s(until: float, now: float) -> float:
    """Seconds until a time (both epoch seconds) that was written down; 0.0 if it is over, or no such time."""
    return until - now if 0.0 < until - now <= LONGEST_S else 0.0


def delay_s(backoff: Backoff, failures: int, random: float) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1 is the first); `random` in [0, 1)."""
    # 2.0 ** 1024 overflows; beyond 64 steps every sensible cap has been reached.
    raw = backoff.first_s * backoff.multiplier ** min(max(failures, 1) - 1, 64)
    return min(raw, backoff.cap_s) * (1.0 + backoff.jitter * (2.0 * random - 1.0))
