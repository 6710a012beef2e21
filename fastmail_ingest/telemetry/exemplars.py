"""A mail for each bucket of a latency, by its trace id: whoever sees a slow one can look it up.

prometheus_client carries none between processes, so each worker keeps its own in a small file beside its
metrics, one record a bucket, the last one written. A record that is being written is told by its parts.
"""

import mmap
import re
import struct
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.telemetry import process_name
from fastmail_ingest.telemetry.catalogue import END_TO_END_LATENCY, PROCESSING_LATENCY, Definition
from fastmail_ingest.telemetry.room import reserve

SUFFIX = ".exemplars"
_RECORD = struct.Struct("@dd32s")  # value (s), when (epoch s), trace id
_TRACE_ID = re.compile(rb"[0-9a-f]{32}")


class Bucket(NamedTuple):
    """A bucket of a series as the metrics page shows it."""

    metric: str
    lane: str  # empty for a metric without that label
    le: str


class _Series(NamedTuple):
    """A histogram's series, and the number of its first record."""

    definition: Definition
    lane: str
    first: int

    def buckets(self) -> Iterator[tuple[Bucket, float, float]]:
        """Each bucket, with the bounds that its values are between: above the one, up to the other."""
        bounds = (*self.definition.bounds, float("inf"))
        for below, bound in zip((float("-inf"), *bounds), bounds, strict=False):
            le = floatToGoString(bound)  # type: ignore[no-untyped-call]
            yield Bucket(self.definition.full_name, self.lane, le), below, bound


def _layout() -> dict[tuple[str, str], _Series]:
    found: dict[tuple[str, str], _Series] = {}
    first = 0
    for definition, lane in [(PROCESSING_LATENCY, ""), *((END_TO_END_LATENCY, lane.label) for lane in Lane)]:
        found[definition.name, lane] = _Series(definition, lane, first)
        first += len(definition.bounds) + 1
    return found


_LAYOUT = _layout()
_BUCKETS = [bucket for series in _LAYOUT.values() for bucket in series.buckets()]
_SIZE = len(_BUCKETS) * _RECORD.size


class Exemplars:
    """Those of this process, if there is room for them. One a process."""

    def __init__(self, directory: Path) -> None:
        path = directory / f"{process_name.current()}{SUFFIX}"
        self._memory: mmap.mmap | None = None
        with suppress(OSError):
            reserve(path, _SIZE)
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _SIZE)

    def note(self, definition: Definition, lane: str, value: float, trace_id: str) -> None:
        """This mail is the last in its bucket."""
        if self._memory is None:
            return
        series = _LAYOUT[definition.name, lane]
        record = series.first + bisect_left(definition.bounds, value)
        name = trace_id.encode("ascii", "replace")
        _RECORD.pack_into(self._memory, record * _RECORD.size, value, time.time(), name)


def newest(directory: Path) -> dict[Bucket, Exemplar]:
    """The last one of each bucket, of all processes; a file that is gone meanwhile has none."""
    found: dict[Bucket, Exemplar] = {}
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for (bucket, below, bound), (value, at, trace_id) in zip(
            _BUCKETS, _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]), strict=False
        ):
            before = found.get(bucket)
            if at <= (before.timestamp or 0.0 if before else 0.0) or not below < value <= bound:
                continue
            if _TRACE_ID.fullmatch(trace_id):
                found[bucket] = Exemplar({"trace_id": trace_id.decode()}, value, at)
    return found
