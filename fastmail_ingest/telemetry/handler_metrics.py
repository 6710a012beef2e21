"""Metrics that a user's handler makes of its own, when its modules are imported a second time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY
from prometheus_client.registry import Collector

_BUILT_IN = (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR)


@contextmanager
def made_anew() -> Iterator[None]:
    """Within it, metrics may be made again whose names are taken; if it raises, all is as it was before."""
    previous = _registered()
    for collector in previous:
        REGISTRY.unregister(collector)
    try:
        yield
    except BaseException:
        for collector in _registered():
            REGISTRY.unregister(collector)
        for collector in previous:
            REGISTRY.register(collector)
        raise
    for collector in previous:
        # Of modules that were not imported again; the others have successors.
        with suppress(ValueError):
            REGISTRY.register(collector)


def _registered() -> list[Collector]:
    known = list(REGISTRY._collector_to_names)  # noqa: SLF001 - there is no other way to ask
    return [collector for collector in known if collector not in _BUILT_IN]
