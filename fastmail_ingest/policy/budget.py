"""How many bytes an account may still fetch: providers count them over a rolling day."""

from collections.abc import Mapping

HOUR_S = 3600
HOURS = 24


def hour_of(now_s: float) -> int:
    """The number of the hour that spent bytes are booked under; `now_s` is in epoch seconds."""
    return int(now_s) // HOUR_S


def spent(by_hour: Mapping[int, int], now_s: float) -> int:
    """Bytes of the last 24 hours, with the hour that is under way on top."""
    return sum(by_hour[hour] for hour in _counted(by_hour, now_s))


def _counted(by_hour: Mapping[int, int], now_s: float) -> list[int]:
    """The hours that count, the oldest first. One that is to come was booked by a clock that was wrong."""
    this = hour_of(now_s)
    return sorted(hour for hour in by_hour if this - HOURS <= hour <= this + 1)


def wait_s(by_hour: Mapping[int, int], limit: int, now_s: float) -> float:
    """Seconds until less than `limit` bytes were spent in the last day; 0.0 if that is so, or no limit."""
    total = spent(by_hour, now_s)
    if not limit or total < limit:
        return 0.0
    # Hours leave the window as a whole, the oldest first.
    for hour in _counted(by_hour, now_s):
        total -= by_hour[hour]
        if total < limit:
            return (hour + HOURS + 1) * HOUR_S - now_s
    return float(HOURS * HOUR_S)


def in_words(by_hour: Mapping[int, int], limit: int, now_s: float) -> str:
    """Why nothing may be fetched, for a human."""
    used = spent(by_hour, now_s)
    return f"daily_bytes is used up: {used / 1e6:.1f} MB were fetched in 24 hours, of {limit / 1e6:.1f} MB"
