"""When to look into a mailbox again."""

import msgspec

# RFC 2177 asks for a new IDLE every 29 minutes; Gmail and NAT routers cut earlier.
IDLE_RENEW_MIN_S = 240.0
IDLE_RENEW_MAX_S = 540.0
# A server that is silent in IDLE may be quiet or gone, and only a question tells: IDLE begins anew so often.
PROBE_S = 12.0
SLOW_DOWN = 1.5


class PollPace(msgspec.Struct, frozen=True):
    """The bounds of the interval between two looks, in seconds."""

    min_s: float
    max_s: float


def next_interval(pace: PollPace, previous_s: float, found_mail: bool) -> float:
    """Seconds until the next look: quick while mail comes, slowing down while none does."""
    if found_mail:
        return pace.min_s
    return min(pace.max_s, max(pace.min_s, previous_s * SLOW_DOWN))


def idle_wait(pace: PollPace, random: float) -> float:
    """Seconds to stay in IDLE: never beyond the slowest poll, since some servers never notify."""
    renew = IDLE_RENEW_MIN_S + (IDLE_RENEW_MAX_S - IDLE_RENEW_MIN_S) * random
    return min(renew, pace.max_s)
