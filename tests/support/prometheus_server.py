"""A real Prometheus with the configuration of deploy/, on a port and a directory of its own."""

import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import requests

from support.prometheus_rules import PROMETHEUS
from support.waiting import wait_until

SHIPPED_TARGET = "127.0.0.1:8080"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class PrometheusServer:
    """Scrapes `target`, a port of this machine; `hasty` does each second what is shipped with longer intervals."""

    def __init__(self, binary: str, target: int, *, hasty: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-prometheus-"))
        self.log = self.directory / "log"
        shutil.copytree(PROMETHEUS / "rules", self.directory / "rules")
        shutil.copy(PROMETHEUS / "prometheus.yml", self.directory)
        for path in self.directory.rglob("*.yml"):
            text = path.read_text().replace(SHIPPED_TARGET, f"127.0.0.1:{target}")
            if hasty:
                text = re.sub(r"(interval|scrape_timeout): \d+s", r"\1: 1s", text)
            path.write_text(text)
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            binary,
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._is_ready, f"Prometheus is ready; {self.log}")

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """What its HTTP API answers; it must succeed."""
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        told = response.json()
        assert told["status"] == "success", (parameters, told)
        return told["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now: `metric` and `value` each."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def targets_up(self) -> bool:
        return {each["health"] for each in self.ask("targets")["activeTargets"]} == {"up"}

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        alerts = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"]: each for each in alerts if each["state"] == "firing"}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
