"""Quantiles out of buckets: as Prometheus would tell them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.policy.quantile import quantile, since

INF = math.inf


@pytest.mark.parametrize(
    ("buckets", "q", "told"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0, INF: 0.0}, 0.5, None),
        ({1.0: 5.0}, 0.5, None),  # no histogram: the last bound is missing
        ({1.0: 10.0, INF: 10.0}, 0.5, 0.5),
        ({1.0: 10.0, 3.0: 20.0, INF: 20.0}, 0.75, 2.0),
        ({1.0: 0.0, 3.0: 10.0, INF: 10.0}, 0.5, 2.0),
        ({1.0: 10.0, 3.0: 10.0, INF: 20.0}, 0.99, 3.0),  # above the highest bound
        ({INF: 5.0}, 0.5, 0.0),
    ],
)
def test_what_is_told(buckets: dict[float, float], q: float, told: float | None) -> None:
    assert quantile(buckets, q) == told


@given(st.lists(st.floats(0.001, 99.0), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_it_is_in_the_bucket_of_the_real_one(seconds: list[float], q: float) -> None:
    bounds = [0.01, 0.1, 1.0, 10.0, 100.0, INF]
    told = quantile({bound: float(sum(each <= bound for each in seconds)) for bound in bounds}, q)
    real = sorted(seconds)[max(0, math.ceil(q * len(seconds)) - 1)]
    high = next(bound for bound in bounds if real <= bound)
    low = max([bound for bound in bounds if bound < high], default=0.0)
    assert told is not None
    assert low <= told <= high


def test_only_what_is_new_counts() -> None:
    assert since({1.0: 5.0, INF: 9.0}, {1.0: 5.0, INF: 6.0}) == {1.0: 0.0, INF: 3.0}
    assert since({1.0: 5.0}, {}) == {}
    assert since({1.0: 4.0}, {1.0: 5.0}) == {}
