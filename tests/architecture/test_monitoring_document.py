"""docs/MONITORING.md against the files: every alert, what it is called in /ready, and the commands."""

import re

import pytest
from support.prometheus_rules import ALERTS
from support.service_files import ROOT, commands

from fastmail_ingest.policy import readiness

DOCUMENT = ROOT / "docs/MONITORING.md"
TABLE = re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \| (?:`(\w+)` )?\|$", DOCUMENT.read_text(), re.MULTILINE)


def test_each_alert_is_explained_with_its_severity() -> None:
    told = {alert: severity for alert, severity, _ in TABLE}
    assert told == {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}
    assert f"{len(ALERTS)} alerts" in DOCUMENT.read_text()


def test_every_reason_of_ready_wakes_somebody() -> None:
    reasons = set(re.findall(r"^(\w+) {2,}\S", readiness.__doc__ or "", re.MULTILINE)) - {"name"}
    told = {reason for _, severity, reason in TABLE if reason and severity in ("page", "ticket")}
    # Who stops it knows.
    assert reasons - told == {"stopping"}
    assert told <= reasons


@pytest.mark.parametrize("line", commands(DOCUMENT))
def test_what_it_copies_is_there(line: str) -> None:
    named = [word for word in line.split() if word.startswith("deploy/")]
    for word in named:
        assert list(ROOT.glob(word)), word
    assert named or line.startswith(("promtool ", "prometheus ", "systemctl "))


def test_every_file_below_deploy_is_named() -> None:
    text = DOCUMENT.read_text()
    for path in (ROOT / "deploy/grafana").rglob("*.*"):
        if path.is_file():
            assert str(path.relative_to(ROOT)) in text
