"""Spans of a real supervisor, sent to a real receiver of OTLP: a mail's whole way, and no word of the mail."""

import os
import signal
from collections import Counter, defaultdict

import pytest
from support.collector import Collector, Seen
from support.waiting import wait_until

ON = "enabled = true"
MAILS = 30
PREPARED = """

    import asyncio, sys
    from opentelemetry import trace
    from fastmail_ingest import Reject, Retry, batch_handler
    OWN = trace.get_tracer("shop")

    def tell(email):
        with OWN.start_as_current_span("own"):
            os.write(CALLS, f"{email.id} {email.correlation_id} {email.traceparent}\\n".encode())
"""
SYNC = """
    def handle(email):
        tell(email)
"""
ASYNC = """
    async def handle(email):
        await asyncio.sleep(0.001)
        tell(email)
"""
BATCH = """
    @batch_handler
    def handle(emails):
        for email in emails:
            tell(email)
"""
FORMS = {
    "sync": (SYNC, ""), "threads": (SYNC, "threads = 3"), "async": (ASYNC, ""), "batch": (BATCH, ""),
    "async batch": (BATCH.replace("def handle", "async def handle"), ""),
}  # fmt: skip


@pytest.fixture
def collector(monkeypatch):
    with Collector() as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def by_trace(spans: list[Seen]) -> dict[str, Seen]:
    found = {span.trace_id: span for span in spans}
    assert len(found) == len(spans)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_each_mail_has_one_trace_from_fetch_to_handler(
    house, simulated, collector: Collector, form: str
) -> None:
    body, threads = FORMS[form]
    simulated.add(MAILS)
    handler = f'target = "handler_under_test:handle"\n{threads}'
    run = house(PREPARED + body, tracing=ON, handler=handler, logging='format = "json"').start()
    handled = by_trace(collector.wait_for("handle live", MAILS))
    created = by_trace(collector.wait_for("create", MAILS))
    assert run.stop() == 0, run.text()
    told = {line.split()[1]: line.split()[2] for line in run.calls_file.read_text().splitlines()}
    assert handled.keys() == created.keys() == told.keys()
    for trace_id, span in handled.items():
        assert (span.above, created[trace_id].above) == (created[trace_id].span_id, "")
        assert told[trace_id] == f"00-{trace_id}-{span.span_id}-01"
        assert span.attributes == {
            "messaging.system": "redis", "messaging.operation.name": "handle",
            "messaging.operation.type": "process", "messaging.destination.name": "live",
            "messaging.message.id": created[trace_id].attributes["messaging.message.id"],
            "messaging.message.body.size": span.attributes["messaging.message.body.size"],
            "messaging.batch.message_count": span.attributes["messaging.batch.message_count"],
            "fastmail_ingest.account": "sim", "fastmail_ingest.mailbox": "INBOX",
            "fastmail_ingest.attempt": 1, "fastmail_ingest.outcome": "done",
        }  # fmt: skip
        assert span.resource["service.name"] == "fastmail-ingest"
        assert "/worker-" in span.resource["service.instance.id"]
        assert created[trace_id].start_ns <= span.start_ns <= span.end_ns
    appended, settled = collector.named("append live"), collector.named("settle")
    for spans in (appended, settled):
        assert sum(span.attributes["messaging.batch.message_count"] for span in spans) == MAILS
    links = {link for span in appended for link in span.links}
    assert links == {(span.trace_id, span.span_id) for span in created.values()}
    links = {link for span in settled for link in span.links}
    assert links == {(span.trace_id, span.span_id) for span in handled.values()}
    own = collector.named("own")
    if "batch" not in form:  # there no one mail is it that is handled
        assert {(span.trace_id, span.above) for span in own} == {
            (trace_id, span.span_id) for trace_id, span in handled.items()
        }
    assert {span.scope for span in own} == {"shop"}


FAILS = """
    def handle(email):
        tell(email)
        if email.attempt == 1:
            raise Retry("planted words", after=0.01)
        if email.uid % 2:
            raise Reject("planted words")
        raise ValueError("planted words")
"""


def test_each_try_is_a_span_and_says_how_it_ended_but_no_words(
    house, simulated, collector: Collector
) -> None:
    simulated.add(4)
    run = house(PREPARED + FAILS, tracing=ON, retry="attempts = 2").start()
    collector.wait_for("handle", 8)
    assert run.stop() == 0
    tries = defaultdict(list)
    for span in collector.named("handle"):
        tries[span.above].append(span)
    assert len(tries) == 4
    ends = Counter()
    for both in tries.values():
        # Each worker sends its own: what came second may be heard of first.
        first, second = sorted(both, key=lambda span: span.attributes["fastmail_ingest.attempt"])
        assert (first.name, second.name) == ("handle live", "handle again")
        assert (first.attributes["fastmail_ingest.outcome"], first.failed) == ("retry", False)
        assert (
            first.attributes["fastmail_ingest.attempt"],
            second.attributes["fastmail_ingest.attempt"],
        ) == (1, 2)
        ends[
            second.attributes["fastmail_ingest.outcome"], second.attributes["error.type"], second.failed
        ] += 1
    assert ends == {("rejected", "Reject", False): 2, ("error", "ValueError", True): 2}
    assert not any(b"planted" in body for body in collector.bodies)


def test_what_is_sampled_is_so_from_its_beginning_to_its_end(
    house, simulated, collector: Collector, monkeypatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    simulated.add(100)
    run = house(PREPARED + SYNC, tracing=ON).start()
    run.wait_for_lines(100)
    assert run.stop() == 0
    told = {line.split()[1]: line.split()[2] for line in run.calls_file.read_text().splitlines()}
    handled = by_trace(collector.named("handle"))
    assert handled.keys() == by_trace(collector.named("create")).keys()
    assert handled.keys() == {trace_id for trace_id, context in told.items() if context.endswith("-01")}
    assert 0 < len(handled) < 100
    assert {span.trace_id for span in collector.named("own")} == handled.keys()


def test_the_last_spans_are_sent_at_the_end(house, simulated, collector: Collector, monkeypatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    simulated.add(MAILS)
    run = house(PREPARED + SYNC, tracing=ON).start()
    run.wait_for_lines(MAILS)
    assert collector.spans == []
    assert run.stop() == 0
    assert len(collector.named("handle")) == len(collector.named("create")) == MAILS


@pytest.mark.parametrize("trouble", ["away", "overloaded", "silent"])
def test_a_collector_that_takes_nothing_harms_nothing(
    house, simulated, collector: Collector, monkeypatch, trouble: str
) -> None:
    if trouble == "silent":
        collector.pause()
    elif trouble == "overloaded":
        collector.status = 503
    else:
        collector.close()
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    simulated.add(500)
    run = house(PREPARED + SYNC, tracing=ON, supervisor="drain_timeout = 4").start()
    run.wait_for_lines(500)
    wait_until(lambda: len(run.calls_file.read_text().splitlines()) == 500, "each mail once")
    assert run.stop() == 0, run.text()
    assert "the last spans are lost" in run.text()
    assert "500 handled" in run.text()
    assert len(run.text().splitlines()) < 200


# redis-py loads the API and the metrics of OpenTelemetry wherever they are installed; that is not ours.
OFF = """

    import sys
    OURS = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf", "fastmail_ingest.telemetry.spans")

    def handle(email):
        os.write(CALLS, f"{[name for name in sys.modules if name.startswith(OURS)]}\\n".encode())
"""


def test_nothing_of_it_is_loaded_where_it_is_off(house, simulated) -> None:
    simulated.add(1)
    run = house(OFF)
    assert run.run("--once") == 0
    assert run.calls_file.read_text() == "[]\n"


def test_a_reload_switches_it_on(house, simulated, collector: Collector) -> None:
    run = house(PREPARED + SYNC).start()
    simulated.add(1)
    run.wait_for_lines(1)
    run.config.write_text(f"{run.config.read_text()}[tracing]\n{ON}\n")
    before = set(run.children("worker") + run.children("producer"))
    os.kill(run.pid, signal.SIGHUP)
    wait_until(
        lambda: not before & set(run.children()) and len(run.children("worker")) == 2, "all are replaced"
    )
    simulated.add(1)
    collector.wait_for("handle", 1)
    assert run.stop() == 0
