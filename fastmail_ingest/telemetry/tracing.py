"""OpenTelemetry in this process: begun in a child, after its fork, and flushed at its end.

Only what `begin` loads knows of it: where tracing is off, nothing of it is imported.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.trace import Origin

_log = logging.getLogger(__name__)

FLUSH_MAX_S = 2.0
FLUSH_SHARE = 0.25  # of a drain's deadline: other things must be done in it, too


Function: TypeAlias = Callable[..., Any]


class ProducerTraces(Protocol):
    """The spans of one thread that fetches mail."""

    def begin(self) -> None: ...  # noqa: D102
    def create(self, key: MailboxKey, identity: str, size: int) -> Origin: ...  # noqa: D102
    def appending(self, key: MailboxKey, lane: Lane, mails: int) -> AbstractContextManager[None]: ...  # noqa: D102


class WorkerTraces(Protocol):
    """The spans of a worker."""

    def traced(self, function: Function, *, is_async: bool, is_batch: bool) -> Function: ...  # noqa: D102
    def settling(self, mails: int) -> AbstractContextManager[None]: ...  # noqa: D102


class Tracing(Struct, frozen=True):
    """The spans of this process; `shutdown` sends what is left, and may take long."""

    producer: Callable[[], ProducerTraces]
    worker: Callable[[], WorkerTraces]
    shutdown: Callable[[], None]

    def close(self, drain_s: float) -> None:
        """Send what is left, in a part of a drain's `drain_s` seconds, whether a collector answers or not."""
        closing = threading.Thread(target=self.shutdown, name="traces", daemon=True)
        closing.start()
        wait_s = min(FLUSH_MAX_S, FLUSH_SHARE * drain_s)
        closing.join(wait_s)
        if closing.is_alive():
            _log.warning("the last spans are lost: they could not be sent within %.1f s", wait_s)


def check(*, enabled: bool) -> None:
    """To be asked before children are forked. Raises ConfigError if the packages are not there."""
    if not enabled:
        return
    if not _installed("opentelemetry.sdk") or not _installed("opentelemetry.exporter.otlp.proto.http"):
        raise ConfigError(
            "[tracing] enabled: OpenTelemetry is not installed. remedy: pip install 'fastmail-ingest[otel]'"
        )
    # Now, so that each child that is forked has it already.
    from fastmail_ingest.telemetry import open_telemetry  # noqa: F401, PLC0415


def begin(*, enabled: bool, node: str) -> Tracing | None:
    """The spans of this process, which is a child of the supervisor `node`; None without tracing."""
    if not enabled:
        return None
    from fastmail_ingest.telemetry.open_telemetry import tracing  # noqa: PLC0415

    return tracing(node)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
