"""The sections [logging] and [tracing]: what a run tells of itself beside its metrics."""

from typing import Annotated, Literal

from msgspec import Meta

from fastmail_ingest.config.section import Section


class LoggingConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severity that is logged.")
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "text"], Meta(description="auto: text on a terminal, else json.")
    ] = "auto"


class TracingConfig(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenTelemetry spans of each mail's way, sent by OTLP over HTTP (the `otel` extra)."""

    enabled: Annotated[
        bool,
        Meta(
            description="Record spans. Where to and how many is said by the standard variables: "
            "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and so on.",
        ),
    ] = False
