"""Quantiles out of a histogram's buckets, as Prometheus' histogram_quantile has them."""

import math
from collections.abc import Mapping


def since(now: Mapping[float, float], before: Mapping[float, float]) -> dict[float, float]:
    """What came into cumulative buckets since `before`; nothing if that cannot be told."""
    found = {bound: count - before.get(bound, 0.0) for bound, count in now.items()}
    return found if before and all(count >= 0 for count in found.values()) else {}


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """The `q`-quantile (0 to 1), None if there is nothing in the buckets.

    `buckets` count what is not above each bound (cumulative), infinity among them. Within a bucket all is
    taken to be spread evenly; what is above the highest finite bound is taken for that bound.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total or not math.isinf(bounds[-1]):
        return None
    rank, low, below = q * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank and count > below:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
