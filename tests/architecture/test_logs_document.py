"""docs/LOGS.md says what stands in log lines and spans: its fields, its numbers and its examples are those of the code."""

import logging
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.stream_world import envelope

from fastmail_ingest.config import load
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.scope import Scope, log_scope
from fastmail_ingest.policy.repeats import HeldBack
from fastmail_ingest.telemetry import repeats, tracing
from fastmail_ingest.telemetry.lines import SHOWN_DIGITS, JsonLines
from fastmail_ingest.telemetry.open_telemetry import NAME, Ids
from fastmail_ingest.telemetry.spans import ProducerSpans, WorkerSpans

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/LOGS.md").read_text()
WITHIN = Scope("4bf92f3577b34da6a3ce929d0e0e4736", "support", "INBOX")
KEY = MailboxKey("support", "INBOX")


def rows(title: str) -> list[list[str]]:
    below = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split("|") for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_the_fields_are_those_of_a_line() -> None:
    record = logging.LogRecord("shop", logging.ERROR, "", 0, "hello", (), None)
    record.__dict__.update(mail={"id": "a"}, held_back=3)
    try:
        raise ValueError
    except ValueError:
        record.exc_info = sys.exc_info()
    with log_scope(WITHIN):
        found = orjson.loads(JsonLines().format(record))
    named = {name for row in rows("A line") for name in re.findall("`(.+?)`", row[0])}
    assert named == found.keys()


def test_the_example_is_a_line_in_its_order() -> None:
    (example,) = blocks("json")
    record = logging.LogRecord("fastmail_ingest.pipeline.judge", logging.WARNING, "", 0, "x", (), None)
    with log_scope(WITHIN):
        made = orjson.loads(JsonLines().format(record))
    assert list(orjson.loads(example)) == list(made)
    assert "first eight digits" in DOCUMENT
    assert SHOWN_DIGITS == 8


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"{repeats.RULE.burst} are written within {repeats.RULE.interval_s:.0f} s" in DOCUMENT
    assert tracing.FLUSH_MAX_S == 2.0
    assert "at the end two seconds are spent" in DOCUMENT
    text = "mail %s: the handler raised %s%s; failure %d of %d, again in %.1f s"
    kind = repeats.Kind("fastmail_ingest.pipeline.judge", logging.WARNING, text, "", "")
    assert repeats.summary(HeldBack(kind, 14231, 60.0)).getMessage() in DOCUMENT
    judge = (ROOT / "fastmail_ingest/pipeline/judge.py").read_text()
    assert f'"{text}"' in judge


def test_its_handler_runs(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    names: dict[str, Any] = {"__name__": "shop"}
    exec(block, names)
    caplog.set_level(logging.INFO)
    names["handle"]([mail()])
    assert caplog.messages == ["19 bytes"]
    assert capsys.readouterr().out == "and a print\n"


def test_its_configuration_is_taken(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    account = '[[accounts]]\nname = "a"\nhost = "h"\nuser = "u"\npassword = "p"\n'
    (tmp_path / "supervisor.toml").write_text(account + block)
    (tmp_path / "supervisor.toml").chmod(0o600)
    assert load(tmp_path / "supervisor.toml", {}).tracing.enabled


def test_the_spans_are_those_that_are_recorded() -> None:
    exporter, ids = InMemorySpanExporter(), Ids()
    provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    producer, worker = ProducerSpans(tracer), WorkerSpans(tracer, ids.continues)
    producer.create(KEY, "support:INBOX:7:1", 19)
    with producer.appending(KEY, Lane.LIVE, 1):
        pass
    worker.traced(lambda _: None, is_async=False, is_batch=False)(mail())
    with worker.settling(1):
        pass
    spans = exporter.get_finished_spans()
    first = [re.match("`([a-z ]+)`", row[0]) for row in rows("Spans, by OpenTelemetry")]
    named = [found[1] for found in first if found]
    assert sorted(named) == sorted(span.name for span in spans)
    own = {name for span in spans for name in span.attributes or {} if not name.startswith("messaging.")}
    text = DOCUMENT.replace("`.", "`fastmail_ingest.")
    assert {f"`{name}`" for name in own} <= set(re.findall("`fastmail_ingest[.][a-z]+`", text))


def test_the_variables_are_those_of_the_sdk() -> None:
    from opentelemetry.sdk import environment_variables  # noqa: PLC0415

    named = [name for row in rows("Spans, by OpenTelemetry") for name in re.findall("`(OTEL_.+?)`", row[0])]
    assert len(named) == 6
    assert all(getattr(environment_variables, name) == name for name in named)
    assert NAME in DOCUMENT


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENT):
        assert "://" in target or (ROOT / "docs" / target).exists(), target


def test_it_is_short() -> None:
    assert len(DOCUMENT.splitlines()) <= 120


def mail() -> Email:
    return Email(envelope("support:INBOX:7:1", KEY, 7, 1, b"Subject: x\r\n\r\nhello\r\n"[:19]))
