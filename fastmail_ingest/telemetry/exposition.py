"""What a scraper is answered: the metrics of all processes together, living and dead, and the gauges."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from fastmail_ingest.telemetry import dead_files, exemplars
from fastmail_ingest.telemetry.catalogue import Definition
from fastmail_ingest.telemetry.exemplars import Bucket

_log = logging.getLogger(__name__)

_OPEN_METRICS = "application/openmetrics-text"


class Reading(NamedTuple):
    """A value of a gauge, or of a counter that somebody else keeps, at this moment."""

    definition: Definition
    value: float
    labels: tuple[str, ...] = ()


Source: TypeAlias = Callable[[], Iterable[Reading]]


class Exposition:
    """Made in the process that answers scrapers. `directory` is None where there is none, see `place`.

    `sources` are asked at each rendering and must not wait for anybody; one that fails is left out.
    """

    def __init__(self, directory: Path | None, living: dead_files.Living, sources: Sequence[Source]) -> None:
        self._directory = directory
        self._living = living
        self._sources = sources

    def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, in the format that this Accept header asks for: OpenMetrics, or text."""
        encode, content_type = choose_encoder(accept)
        families = self._families()
        if self._directory is not None and content_type.startswith(_OPEN_METRICS):
            _attach(families, exemplars.newest(self._directory))
        return encode(_Once(families)), content_type

    def buckets(self, definition: Definition, **labels: str) -> dict[float, float]:
        """How many observations of a histogram were not above each bound, in all series with these labels."""
        found: dict[float, float] = {}
        for metric in self._counted():
            for sample in metric.samples if metric.name == definition.full_name else ():
                if sample.name.endswith("_bucket") and labels.items() <= sample.labels.items():
                    bound = float(sample.labels["le"])
                    found[bound] = found.get(bound, 0.0) + sample.value
        return found

    def _families(self) -> list[Metric]:
        """All metrics, each name once: sources may have a part of one each."""
        found: dict[str, Metric] = {}
        for metric in [*self._counted(), *self._read()]:
            known = found.setdefault(metric.name, metric)
            if known is not metric and known.type == metric.type:
                known.samples += metric.samples
        return [found[name] for name in sorted(found)]

    def _counted(self) -> list[Metric]:
        if self._directory is None:
            return []
        return dead_files.read(self._directory, self._living, _merged)

    def _read(self) -> Iterator[Metric]:
        made: dict[str, Metric] = {}
        for reading in self._readings():
            definition = reading.definition
            metric = made.get(definition.name)
            if metric is None:
                metric = made[definition.name] = Metric(
                    definition.full_name, definition.help, definition.kind
                )
            labels = dict(zip(definition.labels, reading.labels, strict=True))
            metric.add_sample(definition.shown_name, labels, reading.value)
        return iter(made.values())

    def _readings(self) -> Iterator[Reading]:
        for source in self._sources:
            try:
                yield from list(source())
            except Exception:
                _log.exception("a part of the metrics is left out")


def _attach(families: Iterable[Metric], found: Mapping[Bucket, Exemplar]) -> None:
    """Exemplars stand in OpenMetrics alone."""
    names = {bucket.metric for bucket in found}
    for metric in families:
        if metric.name in names:
            metric.samples = [
                sample._replace(exemplar=found.get(_bucket_of(metric, sample))) for sample in metric.samples
            ]


def _bucket_of(metric: Metric, sample: Sample) -> Bucket:
    return Bucket(metric.name, sample.labels.get("lane", ""), sample.labels.get("le", ""))


class _Once(Collector):
    """What prometheus_client renders."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _merged(paths: list[Path]) -> list[Metric]:
    try:
        return _added_up(paths)
    except FileNotFoundError:
        raise
    except Exception:
        # Somebody broke one: the others are good.
        return _added_up([path for path in paths if dead_files.values_in(path)])


def _added_up(paths: list[Path]) -> list[Metric]:
    return list(MultiProcessCollector.merge(paths))  # type: ignore[no-untyped-call]
