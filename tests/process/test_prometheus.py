"""A real Prometheus with our configuration scrapes a real supervisor: rules, dashboard and alerts have answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.grafana_dashboard import EXPRESSIONS, filled
from support.prometheus_rules import ALERTS, RECORDED
from support.prometheus_server import PrometheusServer, free_port
from support.supervised import Supervised
from support.waiting import wait_until

MIXED = """

    import time

    class Odd(Exception):
        pass

    def handle(email):
        note(email)
        time.sleep(0.002)
        if email.id.endswith("7") and email.attempt == 1:
            raise Odd("once")
"""
# What there is only in trouble, with limits, or with tokens.
SILENT = (
    "mailbox_unanswered",
    "daily_budget",
    "token_revoked",
    'standing!="ok"',
    "backup_timestamp",
    "dlq_messages",
)


@pytest.fixture
def run(house, simulated) -> Any:
    made: Supervised = house(MIXED, admin=f"port = {free_port()}")
    return made.start()


@pytest.fixture
def prometheus(prometheus_binary: str, run: Supervised) -> Iterator[PrometheusServer]:
    port = int(run.config.read_text().partition("[admin]\nport = ")[2].split()[0])
    server = PrometheusServer(prometheus_binary, port, hasty=True)
    yield server
    server.close()


def test_rules_and_panels_have_values(
    run, prometheus: PrometheusServer, simulated, prometheus_binary
) -> None:
    wait_until(prometheus.targets_up, "it is scraped")

    def answered(expression: str) -> bool:
        simulated.add(5)  # rates need two scrapes with mail between them
        return bool(prometheus.query(expression))

    for name in sorted(RECORDED - {"job_account:fastmail_ingest_daily_budget:ratio"}):
        wait_until(lambda name=name: answered(name), f"{name} has a value; {run.log}")
    for expression in map(filled, EXPRESSIONS):
        if any(each in expression for each in SILENT):
            prometheus.query(expression)  # it is understood
        else:
            wait_until(lambda each=expression: answered(each), f"{expression} has a value")
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == RECORDED | ALERTS.keys()
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
    assert prometheus.firing() == {}
    exemplars = prometheus.ask(
        "query_exemplars",
        query="fastmail_ingest_end_to_end_latency_seconds_bucket",
        start="0",
        end="9999999999",
    )
    assert any(each["labels"]["trace_id"] for series in exemplars for each in series["exemplars"])
    assert run.stop() == 0


def test_a_redis_that_stops_fires_and_resolves(run, prometheus: PrometheusServer, redis_server) -> None:
    wait_until(prometheus.targets_up, "it is scraped")
    wait_until(lambda: prometheus.query("fastmail_ingest_redis_up == 1"), "Redis answers")
    redis_server.kill()
    alert = wait_until(lambda: prometheus.firing().get("RedisUnreachable"), f"it fires; {run.log}")
    assert alert["labels"]["severity"] == "page"
    assert alert["labels"]["instance"] in alert["annotations"]["summary"]
    redis_server.start()
    wait_until(lambda: "RedisUnreachable" not in prometheus.firing(), "it resolves")
    assert run.stop() == 0


def test_a_supervisor_that_ends_is_a_target_that_is_down(run, prometheus: PrometheusServer) -> None:
    wait_until(prometheus.targets_up, "it is scraped")
    assert run.stop() == 0
    pending = 'ALERTS{alertname="TargetDown", alertstate="pending"}'
    wait_until(lambda: prometheus.query(pending), "whoever is on call will hear of it in 30 s")
