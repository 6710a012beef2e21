"""Rules and alerts, checked by Prometheus' own promtool: each fires, is quiet, and leads to a remedy."""

import re
import subprocess

import pytest
import yaml
from support.prometheus_rules import (
    ALERTS,
    PROMETHEUS,
    RULE_TESTS,
    RULES,
    headings,
    known_names,
    names_in,
    rules,
)
from support.service_files import ROOT


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_prometheus_takes_the_configuration_and_every_rule(promtool: str) -> None:
    told = run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    assert told.returncode == 0, told.stdout + told.stderr
    found = [int(count) for count in re.findall(r"(\d+) rules found", told.stdout)]
    assert sum(found) == len(list(rules()))


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_each_alert_fires_and_is_quiet_when_it_should(path, promtool: str) -> None:
    told = run(promtool, "test", "rules", path)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_tested_for_both(name: str) -> None:
    fires = {
        bool(test["exp_samples"])
        for path in RULE_TESTS
        for case in yaml.safe_load(path.read_text())["tests"]
        for test in case["promql_expr_test"]
        if f'alertname="{name}"' in test["expr"]
    }
    assert fires == {True, False}


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_it_asks_for_metrics_that_there_are(rule) -> None:
    assert names_in(rule["expr"]) or "up{" in rule["expr"]
    assert names_in(rule["expr"]) <= known_names()


@pytest.mark.parametrize("name", ALERTS)
def test_whoever_is_woken_is_told_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    notes = alert["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "remedy: " in notes["description"]
    runbook, _, anchor = notes["runbook_url"].partition("#")
    assert (runbook.startswith("docs/runbooks/"), anchor) == (True, name.lower())


@pytest.mark.parametrize("name", ALERTS)
def test_its_runbook_has_a_section_for_it(name: str) -> None:
    runbook, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    assert anchor in headings(ROOT / runbook)


def test_a_scrape_each_15_seconds_and_a_look_each_5() -> None:
    assert yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["scrape_interval"] == "15s"
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            if any("alert" in rule for rule in group["rules"]):
                assert group["interval"] == "5s", path
