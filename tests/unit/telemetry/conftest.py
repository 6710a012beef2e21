"""A directory for metrics, in which one test process plays several."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastmail_ingest.telemetry import metrics_directory, process_name
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory


@pytest.fixture
def metrics_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(metrics_directory, "_parent", lambda: tmp_path)
    monkeypatch.setattr(process_name, "_name", "main")
    return tmp_path


@pytest.fixture
def metrics(metrics_parent: Path) -> Iterator[Path]:
    with MetricsDirectory.make() as made:
        yield made.path
