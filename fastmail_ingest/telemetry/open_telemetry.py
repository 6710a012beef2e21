"""The provider of spans: its identity, its sampling and its exporter, all by the standard OTEL_ variables.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
import threading
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from fastmail_ingest.telemetry import lines
from fastmail_ingest.telemetry.spans import ProducerSpans, WorkerSpans
from fastmail_ingest.telemetry.tracing import Tracing

NAME = "fastmail-ingest"


class Ids(IdGenerator):
    """Random ones, whatever a handler does to `random`; or the trace that a mail has already."""

    def __init__(self) -> None:
        self._own = threading.local()

    def continues(self, trace_id: int) -> None:
        """The next root span of this thread belongs to this trace."""
        self._own.trace_id = trace_id

    def generate_trace_id(self) -> int:
        """128 bits, never 0."""
        wanted, self._own.trace_id = getattr(self._own, "trace_id", 0), 0
        return wanted or int.from_bytes(os.urandom(16)) or 1

    def generate_span_id(self) -> int:
        """64 bits, never 0."""
        return int.from_bytes(os.urandom(8)) or 1


def tracing(node: str) -> Tracing:
    """Begin. The exporter's thread is started here: a process that forks must not call this."""
    ids = Ids()
    provider = TracerProvider(resource=_resource(node), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # So that what a handler traces itself goes the same way; unless it has a provider of its own.
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    tracer = provider.get_tracer("fastmail_ingest", version(NAME))
    return Tracing(
        producer=lambda: ProducerSpans(tracer),
        worker=lambda: WorkerSpans(tracer, ids.continues),
        shutdown=provider.shutdown,
    )


def _resource(node: str) -> Resource:
    own = Resource.create(
        {
            "service.name": NAME,
            "service.version": version(NAME),
            "service.instance.id": f"{node}/{lines.component}",
            "process.pid": os.getpid(),
        }
    )
    return own.merge(OTELResourceDetector().detect())  # what the operator says goes over it
