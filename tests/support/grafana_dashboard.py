"""The dashboard as Grafana reads it."""

import json
from typing import Any

from support.service_files import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/dashboards/fastmail-ingest.json").read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


def filled(expression: str) -> str:
    """With its variables replaced as Grafana does for all hosts."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".+")
