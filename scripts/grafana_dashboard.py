"""Writes the dashboard under deploy/grafana/ from its panels.yml; with --check it only compares them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

GRAFANA = Path(__file__).parent.parent / "deploy/grafana"
DASHBOARD = GRAFANA / "dashboards/fastmail-ingest.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # of Grafana's grid
HEIGHTS = {"stat": 4, "timeseries": 8}


def dashboard(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole of it, in the schema of Grafana 9.1 and later."""
    return {
        "uid": "fastmail-ingest",
        "title": "fastmail-ingest",
        "description": "Mail over IMAP, through a Redis stream, to your handler. Made from panels.yml.",
        "tags": ["fastmail-ingest"],
        "schemaVersion": 37,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "links": [
            {"type": "link", "title": "Alerts", "url": "/alerting/list", "icon": "bolt", "targetBlank": True},
            {"type": "link", "title": "This host itself", "url": "http://${instance}/", "icon": "dashboard",
             "tooltip": "The dashboard of fastmail-ingest: choose one instance first", "targetBlank": True},
        ],
        "panels": list(_panels(rows)),
    }  # fmt: skip


def _variables() -> list[dict[str, Any]]:
    chosen = "label_values(fastmail_ingest_uptime_seconds, instance)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
         "refresh": 1, "current": {}},
        {"name": "instance", "label": "Host", "type": "query", "datasource": SOURCE, "definition": chosen,
         "query": {"query": chosen, "refId": "instance"}, "refresh": 2, "multi": True, "includeAll": True,
         "allValue": ".+", "sort": 1, "current": {"text": "All", "value": "$__all"}},
    ]  # fmt: skip


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", alertname!="", severity=~"page|ticket"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
    }


def _panels(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each row's title, then its panels from left to right and from top to bottom."""
    number, y = 1, 0
    for row in rows:
        yield {"id": number, "type": "row", "title": row["row"], "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}  # fmt: skip
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in row["panels"]:
            width, wanted = panel["width"], HEIGHTS[panel.get("kind", "timeseries")]
            if x + width > COLUMNS or (height and wanted != height):
                x, y = 0, y + height
            height = wanted
            yield _panel(panel, number, {"x": x, "y": y, "w": width, "h": height})
            number, x = number + 1, x + width
        y += height


def _panel(panel: dict[str, Any], number: int, place: dict[str, int]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    defaults: dict[str, Any] = {
        "unit": panel["unit"],
        "min": 0,
        "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": _steps(panel.get("thresholds", {}))},
        "mappings": [{"type": "value", "options": _texts(panel["texts"])}] if "texts" in panel else [],
    }
    if kind == "timeseries":
        style = "line" if panel.get("thresholds") else "off"
        defaults["custom"] = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": False,
                              "stacking": {"mode": "normal" if panel.get("stacked") else "none"},
                              "thresholdsStyle": {"mode": style}}  # fmt: skip
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel["description"],
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(kind),
        "targets": [_target(*each) for each in enumerate(panel["queries"].items())],
    }


def _steps(thresholds: dict[str, float]) -> list[dict[str, Any]]:
    """Each colour from its value on, above a green that needs no number; `below` is red under it."""
    if "below" in thresholds:
        return [{"color": "red", "value": None}, {"color": "green", "value": thresholds["below"]}]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    return steps + [{"color": color, "value": value} for color, value in thresholds.items()]


def _texts(texts: dict[int, str]) -> dict[str, Any]:
    return {str(value): {"text": text, "index": index} for index, (value, text) in enumerate(texts.items())}


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "background", "graphMode": "area", "textMode": "auto"}  # fmt: skip
    return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip


def _target(number: int, query: tuple[str, str]) -> dict[str, Any]:
    legend, expression = query
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expression.strip(),
        "legendFormat": legend,
        # The trace id of a mail in a bucket, where Prometheus keeps exemplars.
        "exemplar": "_bucket" in expression,
        "range": True,
    }


def main() -> int:
    """Returns the exit code."""
    rows = yaml.safe_load((GRAFANA / "panels.yml").read_text())
    made = json.dumps(dashboard(rows), indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        current = made == DASHBOARD.read_text()
        if not current:
            sys.stderr.write(
                f"{DASHBOARD} is not as panels.yml. remedy: python scripts/grafana_dashboard.py\n"
            )
        return int(not current)
    DASHBOARD.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
