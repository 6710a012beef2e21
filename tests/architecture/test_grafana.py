"""The dashboard: what it asks for is there, is understood by Prometheus, and fits on the screen."""

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest
import yaml
from support.grafana_dashboard import DASHBOARD, EXPRESSIONS, PANELS, ROWS, filled
from support.prometheus_rules import ALERTS, known_names, names_in
from support.service_files import ROOT

UNITS = {"short", "s", "cps", "Bps", "bytes", "percentunit"}  # of Grafana's list
PROVISIONING = ROOT / "deploy/grafana/provisioning"


def test_it_is_made_of_its_source() -> None:
    command = [sys.executable, "scripts/grafana_dashboard.py", "--check"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_prometheus_understands_every_expression(promtool: str, tmp_path) -> None:
    """As rules that record them: promtool has no command that parses one alone."""
    recorded = [{"record": f"panel:{n}", "expr": filled(each)} for n, each in enumerate(EXPRESSIONS)]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    command = [promtool, "check", "rules", "--lint=none", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(EXPRESSIONS)} rules found" in told.stdout


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_asks_for_metrics_that_there_are(expression: str) -> None:
    assert names_in(expression) or "up{" in expression
    assert names_in(expression) <= known_names()
    assert set(re.findall(r"\$\{?(\w+)", expression)) <= {"instance", "__rate_interval"}


def test_five_rows_of_what_an_operator_asks() -> None:
    assert [row["title"] for row in ROWS] == ["Overview", "Latency", "Queues", "Reliability", "System"]
    assert len(PANELS) >= 13
    (latency,) = (panel for panel in PANELS if panel["title"] == "From fetched to done, new mails")
    assert [target["legendFormat"] for target in latency["targets"]] == ["p50", "p95", "p99"]


def test_no_panel_covers_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_of_which_unit(panel) -> None:
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}
    # `Alert: ...` and `Alerts: ...` name alerts that there are.
    named = re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", panel["description"])
    assert set(named) <= ALERTS.keys()


def test_every_alert_has_a_panel_that_shows_why() -> None:
    # The HTTP server that looks no more shows nothing: there is no panel for that.
    told = " ".join(panel["description"] for panel in PANELS)
    assert {name for name in ALERTS if name not in told} == {"ObservationOld"}


def test_the_data_source_and_the_host_are_chosen() -> None:
    kinds = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert kinds == {"datasource": "datasource", "instance": "query"}


def test_the_provisioning_names_what_docs_name() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", "15s")
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/fastmail-ingest.yml").read_text())["providers"]
    assert provider["options"]["path"] in (ROOT / "docs/MONITORING.md").read_text()
