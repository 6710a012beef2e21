"""A thousand children that count and die: their files are bounded, their counts exact, at every moment."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram
from support.metrics_files import files, scraped

from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.supervisor.role import EXIT_WORN_OUT, Child, Role
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.supervisor.supervisor import Supervisor
from fastmail_ingest.telemetry import dead_files
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory, begin_counting

RESTARTS = 1000
AT_ONCE = 4
POLICY = RestartPolicy(0.0, 10_000, 60.0)
WORK, BESIDE = 0, 1
STARTS = 0  # the slot's counter


def count_and_die(child: Child) -> int:
    begin_counting(child.slot.generation)
    mails = Counter("mails", "m", ["of"], registry=None)
    mails.labels("a").inc()
    mails.labels("b").inc(2)
    Histogram("took", "t", registry=None, buckets=(1.0, 5.0)).observe(3)
    child.slot.ready()
    child.slot.add(STARTS)
    if child.table.total(STARTS) > RESTARTS:
        return 0
    os._exit(EXIT_WORN_OUT)  # at once, as by SIGKILL, but with a successor that is not held up for that


def add_up(child: Child) -> int:
    """Dies itself now and then, in the middle of it."""
    child.slot.ready()
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    rounds = 0
    while True:
        dead_files.absorb(directory, die_at(50 + child.slot.generation % 7, child.table.living))
        rounds += 1
        time.sleep(0.001)


def die_at(calls: int, living: Callable[[], set[int]]) -> Callable[[], set[int]]:
    _asked.append(None)
    if len(_asked) > calls:
        os._exit(EXIT_WORN_OUT)
    return living


_asked: list[None] = []


def look(child: Child) -> int:
    """Scrapes all the time; says in its last words if anything ever falls."""
    child.slot.ready()
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    before: dict[str, float] = {}
    while True:
        found = scraped(directory, child.table.living())
        fallen = {
            name: (value, found.get(name)) for name, value in before.items() if found.get(name, 0) < value
        }
        if fallen:
            (directory / "fallen").write_text(str(fallen))
        before = found


@pytest.mark.timeout(300)
def test_a_thousand_restarts() -> None:
    with MetricsDirectory.make() as metrics:
        roles = [
            Role("worker", WORK, count_and_die, POLICY, count=AT_ONCE, finite=True),
            Role("adder", BESIDE, add_up, POLICY),
            Role("scraper", BESIDE, look, POLICY),
        ]
        table = SlotTable(3 * AT_ONCE + 8, 1)
        report = Supervisor(roles, table, 0.0).run()
        begun = table.total(STARTS)
        assert report.failed == ""
        assert begun >= RESTARTS
        assert not (metrics.path / "fallen").exists(), (metrics.path / "fallen").read_text()
        expected = {
            "mails_total{of=a}": begun,
            "mails_total{of=b}": 2 * begun,
            "took_sum": 3 * begun,
            "took_count": begun,
            "took_bucket{le=1.0}": 0,
            "took_bucket{le=5.0}": begun,
            "took_bucket{le=+Inf}": begun,
        }
        assert scraped(metrics.path) == expected
        dead_files.absorb(metrics.path, set)
        assert scraped(metrics.path) == expected
        assert len(files(metrics.path)) == 3
