"""Latencies of the last seconds: what was told is not told again, and nothing new is nothing."""

import math

from fastmail_ingest.admin.latency import LatencyLook

INF = math.inf


def test_each_look_tells_of_what_came_since_the_one_before() -> None:
    readings = iter([{0.01: 1.0, INF: 1.0}, {0.01: 11.0, INF: 11.0}, {0.01: 11.0, INF: 11.0}])
    look = LatencyLook(lambda: next(readings))
    look.look()
    assert look.take() is None
    look.look()
    assert look.take() == (5.0, 9.5, 9.9)
    assert look.take() is None
    look.look()
    assert look.take() is None
