"""A Prometheus that asks one supervisor, and watches that no counter ever falls."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fastmail_ingest.telemetry.metrics_directory import PREFIX
from support.metrics_files import samples_of
from support.supervised import Supervised
from support.waiting import wait_until

_COUNTS = ("_total", "_bucket", "_count", "_sum")


class Scraper:
    """A supervised run with a metrics page. `house` is the fixture of that name."""

    def __init__(self, house: Any, body: str, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.run: Supervised = house(body, admin=f"port = {self.port}", **settings).start()
        self.fallen: dict[str, tuple[float, float | None]] = {}
        self.scrapes = 0
        self._highest: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def scrape(self) -> dict[str, float]:
        """All samples, without our prefix; nothing if nobody answers."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=20)
        except requests.ConnectionError:
            return {}
        assert answer.status_code == 200, answer.text
        return {
            name.removeprefix("fastmail_ingest_"): value for name, value in samples_of(answer.content).items()
        }

    def exemplars(self) -> dict[tuple[str, str], str]:
        """The trace ids by sample and bucket, as one gets them who asks for OpenMetrics."""
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", headers=accept, timeout=20)
        return {
            (sample.name.removeprefix("fastmail_ingest_"), sample.labels["le"]): sample.exemplar.labels[
                "trace_id"
            ]
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.exemplar
        }

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.look()

    def look(self) -> dict[str, float]:
        """Scrape, and compare each counter with the highest value it ever had."""
        with self._lock:
            found = self.scrape()
            self.scrapes += bool(found)
            for name, value in found.items() if found else ():
                if name.partition("{")[0].endswith(_COUNTS):
                    self._highest[name] = max(value, self._highest.get(name, 0.0))
            for name, value in self._highest.items() if found else ():
                if found.get(name, -1.0) < value:
                    self.fallen[name] = (value, found.get(name))
        return found

    def value(self, name: str) -> float | None:
        return self.look().get(name)

    def wait_for(self, name: str, value: float | Callable[[float], bool]) -> None:
        def is_so() -> bool:
            found = self.value(name)
            return found is not None and (value(found) if callable(value) else found == value)

        wait_until(is_so, f"{name} is {value}; {self.run.log}")

    def directory(self) -> Path:
        """Where its processes keep their metrics: the supervisor holds it open."""
        held = [os.readlink(link) for link in Path(f"/proc/{self.run.pid}/fd").iterdir()]
        return Path(next(path for path in held if PREFIX in path))

    def processes(self) -> set[str]:
        """Who has files of its own there."""
        return {path.stem.rpartition("_")[2] for path in self.directory().iterdir() if path.is_file()}

    def end(self) -> None:
        """Stop it in good order; nothing may have fallen."""
        self._stop.set()
        self._thread.join()
        assert self.fallen == {}
        assert self.run.stop() == 0
