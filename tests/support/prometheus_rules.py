"""The rules, their tests and the dashboard under deploy/, as Prometheus and Grafana read them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fastmail_ingest.telemetry.catalogue import CATALOGUE, PREFIX
from support.service_files import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
# A recorded series has colons in its name: level:metric:operations.
_RECORDED = re.compile(rf"\w+(?::\w+)*:{PREFIX}\w+(?::\w+)+")
_RAW = re.compile(rf"(?<![\w:]){PREFIX}\w+")


def rules() -> Iterator[dict[str, Any]]:
    """All rules: each has `expr`, and `alert` or `record`."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def known_names() -> set[str]:
    """What one may ask Prometheus for."""
    names = set(RECORDED)
    for definition in CATALOGUE:
        name = definition.shown_name
        histogram = definition.kind == "histogram"
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if histogram else {name}
    return names


def names_in(expression: str) -> set[str]:
    """The metrics of ours that an expression asks for."""
    recorded = set(_RECORDED.findall(expression))
    return recorded | set(_RAW.findall(_RECORDED.sub(" ", expression)))


def headings(document: Path) -> set[str]:
    """The anchors of a Markdown document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
