"""A batch is counted for the price of a few numbers, and as if each mail had been counted by itself."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from support.metrics_files import samples_of, scraped

from fastmail_ingest.model.entry import Dead, Delayed, Entry, Settlement, Shown
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.policy.breaker import State
from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry.catalogue import CATALOGUE, ERRORS_MAX, OTHER
from fastmail_ingest.telemetry.dead_files import absorb
from fastmail_ingest.telemetry.exposition import Exposition, Reading
from fastmail_ingest.telemetry.maintenance_metrics import MaintenanceMetrics
from fastmail_ingest.telemetry.metrics import BatchHistogram, Capped, counter, harmless
from fastmail_ingest.telemetry.metrics_directory import begin_counting
from fastmail_ingest.telemetry.producer_metrics import ProducerMetrics
from fastmail_ingest.telemetry.worker_metrics import WorkerMetrics


def entry(number: int = 1, lane: Lane = Lane.LIVE) -> Entry:
    return Entry(lane, f"{number}-0".encode(), b"payload")


def failed(error: str, *, counts: bool = True) -> Delayed:
    return Delayed(entry(), "id", 1.0, error, counts)


def dead(reason: str, error_type: str) -> Dead:
    return Dead(entry(), "id", reason, error_type, "words")


# --- histograms ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e6) | st.sampled_from([0.0, 0.5, 1.0, 10.0])))
def test_many_at_once_are_the_same_as_one_by_one(values: list[float]) -> None:
    _assert_same(lambda at_once: at_once.observe_all(values), values)


@given(st.lists(st.floats(-10.0, 1e6) | st.sampled_from([0.0, 0.5, 1.0, 10.0])))
def test_ages_are_counted_the_same_and_the_future_has_none(ages: list[float]) -> None:
    now = 2.0**30  # a number beside which small ones keep their digits
    since = [now - age for age in ages]
    _assert_same(lambda at_once: at_once.observe_ages(now, since), [max(0.0, now - at) for at in since])


def _assert_same(observe: Callable[[BatchHistogram], None], values: list[float]) -> None:
    bounds = (0.5, 1.0, 10.0)
    at_once = BatchHistogram("h", "h", registry=None, buckets=bounds)
    one_by_one = Histogram("h", "h", registry=None, buckets=bounds)
    observe(at_once)
    for value in values:
        one_by_one.observe(value)

    def counted(histogram: Histogram) -> list[float]:
        (metric,) = histogram.collect()
        return [sample.value for sample in metric.samples if sample.name in {"h_bucket", "h_count"}]

    def total(histogram: Histogram) -> float:
        (metric,) = histogram.collect()
        return next(sample.value for sample in metric.samples if sample.name == "h_sum")

    assert counted(at_once) == counted(one_by_one)
    assert total(at_once) == pytest.approx(total(one_by_one))


# --- caps ------------------------------------------------------------------------------------------------


def test_labels_are_capped() -> None:
    capped = Capped(2, {"known"})
    assert [capped(value) for value in ("a", "b", "a", "known", "c")] == ["a", OTHER, "a", "known", OTHER]


def test_a_new_worker_adds_no_reasons_of_its_own_beyond_the_cap(metrics: Path) -> None:
    for generation in (1, 2):
        begin_counting(generation)
        worker = WorkerMetrics(metrics)
        for number in range(ERRORS_MAX + 5):
            worker.settled(Settlement(delayed=[failed(f"Error{generation}x{number}: words")]), 0)
        absorb(metrics, set)
    reasons = [name for name in scraped(metrics) if name.startswith("fastmail_ingest_emails_failed_total")]
    assert len(reasons) == ERRORS_MAX + 1
    assert scraped(metrics)[f"fastmail_ingest_emails_failed_total{{reason={OTHER}}}"] == 5 + ERRORS_MAX + 5


# --- what the roles count ----------------------------------------------------------------------------------


def test_what_a_worker_settles(metrics: Path) -> None:
    begin_counting(1)
    now = time.time()
    settlement = Settlement(took=[0.0002, 0.3, 7.0])
    settlement.add_done(entry(1), "a", now - 2)
    settlement.add_done(entry(2), "b", now + 50)  # a clock that was put back
    settlement.add_done(entry(3, Lane.AGAIN), "c", now - 2000)
    settlement.delayed += [failed("TypeError: words: more"), failed("CircuitOpen: x", counts=False)]
    settlement.dead += [dead("rejected", "Reject"), dead("undecodable", "UndecodableEntry")]
    WorkerMetrics(metrics).settled(settlement, 1)

    found = scraped(metrics)
    assert {
        name.removeprefix("fastmail_ingest_"): value
        for name, value in found.items()
        if value and "_bucket" not in name and "_sum" not in name
    } == {
        "emails_processed_total": 2.0,
        "settled_too_late_total": 1.0,
        "emails_failed_total{reason=TypeError}": 1.0,
        "emails_failed_total{reason=Reject}": 1.0,
        "emails_failed_total{reason=UndecodableEntry}": 1.0,
        "retries_total{kind=failure}": 1.0,
        "retries_total{kind=postponed}": 1.0,
        "dlq_messages_total{reason=rejected}": 1.0,
        "dlq_messages_total{reason=undecodable}": 1.0,
        "processing_latency_seconds_count": 3.0,
        "end_to_end_latency_seconds_count{lane=live}": 2.0,
        "end_to_end_latency_seconds_count{lane=again}": 1.0,
    }
    assert found["fastmail_ingest_processing_latency_seconds_bucket{le=0.0005}"] == 1.0
    assert found["fastmail_ingest_end_to_end_latency_seconds_bucket{lane=live,le=0.005}"] == 1.0
    assert found["fastmail_ingest_end_to_end_latency_seconds_bucket{lane=again,le=900.0}"] == 0.0


@pytest.mark.parametrize("name", ["\ud800", "a\nb", 'x"} 1', "", "e" * 1000])
def test_a_class_named_by_a_stranger_is_no_label(metrics: Path, name: str) -> None:
    begin_counting(1)
    WorkerMetrics(metrics).settled(Settlement(dead=[dead("rejected", name)]), 0)
    assert scraped(metrics)[f"fastmail_ingest_emails_failed_total{{reason={OTHER}}}"] == 1.0


def test_what_a_producer_does(metrics: Path) -> None:
    begin_counting(1)
    accounts = [f"a{number}" for number in range(c.ACCOUNTS_MAX + 2)]
    producer = ProducerMetrics(accounts)
    for account in accounts:
        producer.fetched(account, 3, 300)
        producer.appended(account, 2, 1)
        producer.polled(account, True, 0.2)
    producer.polled("a0", False, 400.0)
    producer.breaker("account a0", State.OPEN)
    producer.breaker("account a1", State.OPEN)
    producer.breaker("account a1", State.CLOSED)

    found = {name.removeprefix("fastmail_ingest_"): value for name, value in scraped(metrics, [1]).items()}
    assert found["emails_fetched_total{account=a0}"] == 3.0
    assert found["emails_fetched_total{account=other}"] == 6.0
    assert found["fetched_bytes_total{account=a1}"] == 300.0
    assert found["emails_produced_total{account=a0}"] == 2.0
    assert found["duplicates_total{account=a0}"] == 1.0
    assert found["imap_polls_total{account=a0,result=ok}"] == 1.0
    assert found["imap_polls_total{account=a0,result=failed}"] == 1.0
    assert found["imap_poll_duration_seconds_bucket{le=300.0}"] == len(accounts)
    assert found["circuit_breaker_state{dependency=account a0}"] == 1.0
    assert found["circuit_breaker_state{dependency=account a1}"] == 0.0
    assert len([name for name in found if name.startswith("emails_fetched_total")]) == c.ACCOUNTS_MAX + 1


def test_what_maintenance_takes_from_the_dead(metrics: Path) -> None:
    begin_counting(1)
    maintenance = MaintenanceMetrics()
    maintenance.put_back(5)
    maintenance.blamed(2, "hung")
    maintenance.buried(1, "hung")
    maintenance.blamed(0, "killed_worker")
    assert scraped(metrics) == {
        "fastmail_ingest_orphans_claimed_total": 5.0,
        "fastmail_ingest_emails_failed_total{reason=hung}": 2.0,
        "fastmail_ingest_emails_failed_total{reason=killed_worker}": 0.0,
        "fastmail_ingest_dlq_messages_total{reason=hung}": 1.0,
        "fastmail_ingest_dlq_messages_total{reason=killed_worker}": 0.0,
    }


def test_what_goes_wrong_in_counting_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    @harmless
    def count(number: int) -> None:
        calls.append(number)
        raise OSError("no room")

    count(1)
    count(2)
    assert calls == [1, 2]
    assert caplog.text.count("counting failed") == 1


# --- what a scraper gets -----------------------------------------------------------------------------------


def broken() -> list[Reading]:
    raise OSError("Redis is away")


def test_gauges_and_counters_stand_side_by_side(metrics: Path, caplog: pytest.LogCaptureFixture) -> None:
    begin_counting(1)
    counter(c.EMAILS_PROCESSED).inc(3)
    ProducerMetrics([]).breaker("account a", State.OPEN)
    sources = [
        lambda: [Reading(c.DLQ_DEPTH, 7.0), Reading(c.CIRCUIT_BREAKER_STATE, 0.0, ("redis",))],
        broken,
        lambda: [Reading(c.PROCESS_CPU, 1.5, ('we"ird\n',))],
    ]
    body, content_type = Exposition(metrics, lambda: {1}, sources).render("text/plain;version=0.0.4")

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = samples_of(body)
    assert found["fastmail_ingest_emails_processed_total"] == 3.0
    assert found["fastmail_ingest_dlq_depth"] == 7.0
    assert found["fastmail_ingest_circuit_breaker_state{dependency=account a}"] == 1.0
    assert found["fastmail_ingest_circuit_breaker_state{dependency=redis}"] == 0.0
    assert found['fastmail_ingest_process_cpu_seconds_total{role=we"ird\n}'] == 1.5
    assert body.count(b"# TYPE fastmail_ingest_circuit_breaker_state gauge\n") == 1
    assert "a part of the metrics is left out" in caplog.text


def test_openmetrics_for_those_who_ask_for_it(metrics: Path) -> None:
    counter(c.EMAILS_PROCESSED).inc(3)
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    body, content_type = Exposition(metrics, set, []).render(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert body.endswith(b"fastmail_ingest_emails_processed_total 3.0\n# EOF\n")
    (family,) = open_metrics(body.decode())
    assert family.name == "fastmail_ingest_emails_processed"


TRACE, OTHER_TRACE = "ab" * 16, "cd" * 16


def settled(worker: WorkerMetrics, took: float, trace_id: str, waited: float | None = None) -> None:
    settlement = Settlement(took=[took])
    settlement.shown = Shown(took, trace_id, Lane.LIVE, time.time() - waited if waited is not None else 0.0)
    worker.settled(settlement, 0)


def exemplars_of(page: Exposition) -> dict[tuple[str, str], tuple[str, float]]:
    body, _ = page.render("application/openmetrics-text; version=1.0.0")
    return {
        (sample.name, sample.labels["le"]): (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for family in open_metrics(body.decode())
        for sample in family.samples
        if sample.exemplar
    }


def test_a_slow_mail_can_be_looked_up(metrics: Path) -> None:
    page = Exposition(metrics, lambda: {1, 2}, [])
    begin_counting(1)
    worker = WorkerMetrics(metrics)
    settled(worker, 0.07, TRACE, waited=2.0)
    settled(worker, 12.0, TRACE)
    begin_counting(2)
    other = WorkerMetrics(metrics)
    settled(other, 0.1, OTHER_TRACE)
    settled(other, 1e6, OTHER_TRACE)
    settled(other, 0.3, 'no trace id" 1 2\ud800')

    took, waited = (
        f"fastmail_ingest_{name}_seconds_bucket" for name in ("processing_latency", "end_to_end_latency")
    )
    found = exemplars_of(page)
    value = found.pop((waited, "2.5"))
    assert value[0] == TRACE
    assert 2.0 <= value[1] <= 2.5
    assert found == {
        (took, "0.1"): (OTHER_TRACE, 0.1),
        (took, "30.0"): (TRACE, 12.0),
        (took, "+Inf"): (OTHER_TRACE, 1e6),
    }
    assert TRACE.encode() not in page.render("")[0]

    absorb(metrics, lambda: {2})
    assert {trace for trace, _ in exemplars_of(page).values()} == {OTHER_TRACE}
    assert [path.name for path in metrics.glob("*.exemplars")] == ["g2.exemplars"]


def test_half_an_exemplar_is_none(metrics: Path) -> None:
    begin_counting(1)
    settled(WorkerMetrics(metrics), 0.07, TRACE)
    path = metrics / "g1.exemplars"
    path.write_bytes(path.read_bytes().replace(TRACE.encode(), b"\0" * 32) + b"more")
    assert exemplars_of(Exposition(metrics, lambda: {1}, [])) == {}
    path.write_bytes(b"")
    assert exemplars_of(Exposition(metrics, lambda: {1}, [])) == {}


def test_without_room_there_are_no_exemplars(metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    begin_counting(1)
    monkeypatch.setattr(os, "posix_fallocate", full)
    settled(WorkerMetrics(metrics), 0.07, TRACE)
    page = Exposition(metrics, lambda: {1}, [])
    assert exemplars_of(page) == {}
    assert scraped(metrics)["fastmail_ingest_processing_latency_seconds_count"] == 1.0


def test_of_several_mails_the_slowest_is_shown() -> None:
    def one(took: float | None) -> Settlement:
        settlement = Settlement()
        settlement.add_done(entry(), "id", 0.0)
        settlement.shown = Shown(took, TRACE, Lane.LIVE, 0.0) if took is not None else None
        return settlement

    for takes, slowest in (((1.0, 2.0), 2.0), ((2.0, 1.0), 2.0), ((None, 1.0), 1.0), ((1.0, None), 1.0)):
        merged = one(takes[0]).merged_with(one(takes[1]))
        assert merged.shown is not None
        assert merged.shown.took == slowest


def test_gauges_are_shown_where_nobody_counts() -> None:
    body, _ = Exposition(None, set, [lambda: [Reading(c.DLQ_DEPTH, 7.0)]]).render("")
    assert samples_of(body) == {"fastmail_ingest_dlq_depth": 7.0}


def test_the_catalogue_names_each_metric_once() -> None:
    assert len({definition.name for definition in CATALOGUE}) == len(CATALOGUE)
    assert all(definition.help.endswith(".") for definition in CATALOGUE)
    assert all(bool(definition.bounds) is (definition.kind == "histogram") for definition in CATALOGUE)
