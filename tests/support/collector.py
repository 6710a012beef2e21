"""A collector of spans: OTLP over HTTP, as https://opentelemetry.io/docs/specs/otlp/ says."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from support.waiting import wait_until


@dataclass(frozen=True)
class Seen:
    """A span that came."""

    name: str
    trace_id: str
    span_id: str
    above: str  # its parent's id, empty for a root
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: list[tuple[str, str]]  # trace and span
    failed: bool
    scope: str
    start_ns: int
    end_ns: int


class Collector:
    """The server, in a thread; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        self.answering = threading.Event()
        self.answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a supervisor's spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def named(self, beginning: str) -> list[Seen]:
        return [span for span in list(self.spans) if span.name.startswith(beginning)]

    def wait_for(self, beginning: str, count: int) -> list[Seen]:
        wait_until(lambda: len(self.named(beginning)) >= count, f"{count} spans {beginning!r} come")
        return self.named(beginning)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        self.bodies.append(body)
        for of_resource in request.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_seen(span, resource, of_scope.scope.name) for span in of_scope.spans]

    def pause(self) -> None:
        """Take connections, and answer nothing any more."""
        self.answering.clear()

    def close(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _seen(span: Any, resource: dict[str, Any], scope: str) -> Seen:
    return Seen(
        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
        _plain(span.attributes), resource, [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == span.status.STATUS_CODE_ERROR, scope,
        span.start_time_unix_nano, span.end_time_unix_nano,
    )  # fmt: skip


def _plain(attributes: list[KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _handler_of(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.answering.wait()
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if (self.path, collector.status) == ("/v1/traces", 200):
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Handler
