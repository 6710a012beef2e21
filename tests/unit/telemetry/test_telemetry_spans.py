"""Spans without a collector: what they are below, what they say, and what costs no span."""

import asyncio
import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.stream_world import envelope

from fastmail_ingest.errors import ConfigError, Reject, Retry
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.trace import parse
from fastmail_ingest.telemetry import tracing
from fastmail_ingest.telemetry.open_telemetry import Ids
from fastmail_ingest.telemetry.spans import ProducerSpans, WorkerSpans

KEY = MailboxKey("a", "INBOX")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Recorded:
    """A tracer with what it recorded."""

    def __init__(self, sampler: sampling.Sampler = sampling.DEFAULT_ON) -> None:
        self.ids, self.exporter = Ids(), InMemorySpanExporter()
        provider = TracerProvider(sampler, id_generator=self.ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")
        self.producer = ProducerSpans(self.tracer)
        self.worker = WorkerSpans(self.tracer, self.ids.continues)

    def spans(self) -> list[object]:
        return list(self.exporter.get_finished_spans())

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]


def mail(trace_id: str = TRACE, traceparent: str = "") -> Email:
    made = envelope("a:INBOX:7:1", KEY, 7, 1, b"Subject: planted\n\nplanted")
    return Email(codec.msgspec.structs.replace(made, trace_id=trace_id, traceparent=traceparent))


def test_a_mail_that_nobody_has_decided_about_begins_its_own_trace() -> None:
    recorded = Recorded()
    recorded.worker.traced(lambda email: None, is_async=False, is_batch=False)(mail())
    (span,) = recorded.spans()
    assert (f"{span.context.trace_id:032x}", span.parent) == (TRACE, None)
    recorded.tracer.start_span("another").end()
    assert f"{recorded.spans()[1].context.trace_id:032x}" != TRACE


@pytest.mark.parametrize("trace_id", ["", "0" * 32, "nonsense\r\n", "F" * 32])
def test_an_entry_without_a_sound_trace_id_gets_another(trace_id: str) -> None:
    recorded = Recorded()
    recorded.worker.traced(lambda email: None, is_async=False, is_batch=False)(
        mail(trace_id, f"00-{TRACE}-{SPAN}-01")
    )
    (span,) = recorded.spans()
    assert span.context.trace_id
    assert span.parent is None


@pytest.mark.parametrize(("flags", "names"), [("01", ["handle live"]), ("00", [])])
def test_what_was_decided_at_fetching_holds(flags: str, names: list[str]) -> None:
    recorded, email = Recorded(), mail(TRACE, f"00-{TRACE}-{SPAN}-{flags}")
    seen: list[str] = []
    recorded.worker.traced(lambda email: seen.append(email.traceparent), is_async=False, is_batch=False)(
        email
    )
    assert recorded.names() == names
    context = parse(seen[0])
    assert context is not None
    assert (context.trace_id, context.sampled) == (TRACE, flags == "01")
    assert (context.span_id == SPAN) is (flags == "00")


def test_a_batch_says_how_each_of_its_mails_ended() -> None:
    recorded = Recorded()
    mails = [mail(f"{number}" * 32) for number in (1, 2, 3)]
    answers = [None, Retry("planted"), Reject("planted")]
    assert recorded.worker.traced(lambda _: answers, is_async=False, is_batch=True)(mails) == answers
    found = {
        f"{span.context.trace_id:032x}"[0]: span.attributes["fastmail_ingest.outcome"]
        for span in recorded.spans()
    }
    assert found == {"1": "done", "2": "retry", "3": "rejected"}


def test_an_async_handler_that_is_cancelled_ends_its_span() -> None:
    recorded = Recorded()

    async def endless(_: Email) -> None:
        await asyncio.Event().wait()

    async def cancelled() -> None:
        await asyncio.wait_for(recorded.worker.traced(endless, is_async=True, is_batch=False)(mail()), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    (span,) = recorded.spans()
    assert span.attributes["error.type"] == "CancelledError"


def test_what_a_broken_connection_left_is_forgotten() -> None:
    recorded = Recorded()
    recorded.producer.create(KEY, "a:INBOX:7:1", 10)
    recorded.producer.begin()
    again = recorded.producer.create(KEY, "a:INBOX:7:1", 10)
    with recorded.producer.appending(KEY, Lane.LIVE, 1):
        pass
    append, create = recorded.spans()[::-1] if recorded.names()[0] == "create" else recorded.spans()
    assert f"{create.context.trace_id:032x}" == again.trace_id
    assert [link.context for link in append.links] == [create.context]
    with recorded.producer.appending(KEY, Lane.LIVE, 0):  # the cursor moves
        pass
    assert len(recorded.spans()) == 2


def test_a_failed_append_says_so_and_ends_its_spans() -> None:
    recorded = Recorded()
    recorded.producer.create(KEY, "a:INBOX:7:1", 10)
    with pytest.raises(OSError, match="planted"), recorded.producer.appending(KEY, Lane.LIVE, 1):
        raise OSError("planted")
    failed = {span.name: span.attributes.get("error.type") for span in recorded.spans()}
    assert failed == {"append live": "OSError", "create": None}
    assert "planted" not in "".join(span.to_json() for span in recorded.spans())


def test_what_is_not_sampled_is_linked_nowhere() -> None:
    recorded = Recorded(sampling.ALWAYS_OFF)
    recorded.producer.create(KEY, "a:INBOX:7:1", 10)
    with recorded.producer.appending(KEY, Lane.LIVE, 1):
        pass
    recorded.worker.traced(lambda _: None, is_async=False, is_batch=False)(mail())
    with recorded.worker.settling(1):
        pass
    assert recorded.spans() == []


def test_a_settle_is_linked_to_what_was_handled_since_the_last() -> None:
    recorded = Recorded()
    handle = recorded.worker.traced(lambda _: None, is_async=False, is_batch=False)
    for number in range(300):
        handle(mail(f"{number + 1:032x}"))
    for _ in range(2):
        with recorded.worker.settling(300):
            pass
    first, second = (span for span in recorded.spans() if span.name == "settle")
    assert (len(first.links), len(second.links)) == (128, 0)


def test_ids_are_of_their_thread() -> None:
    ids, found = Ids(), []
    ids.continues(7)
    thread = threading.Thread(target=lambda: found.append(ids.generate_trace_id()))
    thread.start()
    thread.join()
    assert found[0] != 7
    assert ids.generate_trace_id() == 7
    assert ids.generate_trace_id() != 7


def test_without_the_packages_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.check(enabled=True)
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    tracing.check(enabled=False)
    with pytest.raises(ConfigError, match=r"remedy: pip install 'fastmail-ingest\[otel\]'"):
        tracing.check(enabled=True)
