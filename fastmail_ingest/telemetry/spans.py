"""The spans of a mail's way: created and appended by a producer, handled and settled by a worker.

Names and attributes are those of https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ ; no
attribute has a word of what a mail says.
"""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
    use_span,
)
from opentelemetry.util.types import AttributeValue

from fastmail_ingest.errors import Reject, Retry
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.trace import Origin, TraceContext, is_trace_id, recorded
from fastmail_ingest.model.traced import origin_of

LINKS_MAX = 128  # of a span, by the specification's default
_ROOT = Context()


class ProducerSpans:
    """Of one thread: `create` of each mail begins its trace, `append` of a batch is a trace of its own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._created: list[Span] = []
        self._began_ns = 0  # when the first mail of a batch came, epoch

    def begin(self) -> None:
        """What was created and not appended never will be: its connection broke."""
        self._created, self._began_ns = [], 0

    def create(self, key: MailboxKey, identity: str, size: int) -> Origin:
        """A mail was fetched; its span ends when it is in the stream."""
        self._began_ns = self._began_ns or time.time_ns()
        span = self._tracer.start_span("create", _ROOT, SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes({
                **_of_operation("create", "create"),
                **_of_mail(identity, key.account, key.mailbox, size),
            })  # fmt: skip
            self._created.append(span)
        context = _out(span.get_span_context())
        return Origin(context.trace_id, context.traceparent)

    @contextmanager
    def appending(self, key: MailboxKey, lane: Lane, mails: int) -> Iterator[None]:
        """Around the append of the mails that were created since the last one."""
        created, began_ns = self._created, self._began_ns
        self.begin()
        if not mails:
            yield
            return
        attributes = {
            **_of_operation("append", "send"),
            "messaging.destination.name": lane.label,
            "messaging.batch.message_count": mails,
            "fastmail_ingest.account": key.account,
            "fastmail_ingest.mailbox": key.mailbox,
        }
        links = [Link(span.get_span_context()) for span in created[:LINKS_MAX]]
        span = self._tracer.start_span(
            f"append {lane.label}", _ROOT, SpanKind.PRODUCER, attributes, links, began_ns or None
        )
        with ExitStack() as ends:
            for each in (span, *created):
                ends.callback(each.end)
            with _current(span), _outcome([span]):
                yield


class WorkerSpans:
    """`handle` of each mail, below its `create`; `settle` of a batch, with links to what was handled."""

    def __init__(self, tracer: Tracer, continues: Callable[[int], None]) -> None:
        """`continues` makes the next root span one of this trace."""
        self._tracer = tracer
        self._continues = continues
        self._handled: deque[SpanContext] = deque(maxlen=LINKS_MAX)

    def traced(self, function: Callable[..., Any], *, is_async: bool, is_batch: bool) -> Callable[..., Any]:
        """The handler with a span around each call, for each of its mails."""

        handling: Callable[[Any], AbstractContextManager[Sequence[Span]]]
        handling = self._handling_all if is_batch else self._handling

        @functools.wraps(function)
        def handle(given: Any) -> Any:
            with handling(given) as spans:
                answer = function(given)
                _note_answers(spans, answer)
                return answer

        @functools.wraps(function)
        async def handle_async(given: Any) -> Any:
            with handling(given) as spans:
                answer = await function(given)
                _note_answers(spans, answer)
                return answer

        return handle_async if is_async else handle

    @contextmanager
    def settling(self, mails: int) -> Iterator[None]:
        """Around the writing of what became of some mails."""
        handled = [Link(self._handled.popleft()) for _ in range(len(self._handled))]
        attributes = {**_of_operation("settle", "settle"), "messaging.batch.message_count": mails}
        span = self._tracer.start_span("settle", _ROOT, SpanKind.CLIENT, attributes, handled)
        with ExitStack() as ends:
            ends.callback(span.end)
            with _current(span), _outcome([span]):
                yield

    def _handling(self, email: Email) -> AbstractContextManager[Sequence[Span]]:
        return _Handling([self._begin(email, 1)], self._handled)

    def _handling_all(self, emails: Sequence[Email]) -> AbstractContextManager[Sequence[Span]]:
        return _Handling([self._begin(email, len(emails)) for email in emails], self._handled)

    def _begin(self, email: Email, mails: int) -> Span:
        above, context = _ROOT, recorded(origin_of(email))
        if context is None:
            # Nobody has decided whether it is sampled: it was fetched without tracing, or imported.
            self._continues(_number(email.correlation_id))
        else:
            above = set_span_in_context(NonRecordingSpan(_in(context)), _ROOT)
        span = self._tracer.start_span(f"handle {email.lane.label}", above, SpanKind.CONSUMER)
        if span.is_recording():
            span.set_attributes({
                **_of_operation("handle", "process"),
                **_of_mail(email.id, email.account, email.mailbox, email.size),
                "messaging.destination.name": email.lane.label,
                "messaging.batch.message_count": mails,
                "fastmail_ingest.attempt": email.attempt,
                "fastmail_ingest.outcome": "done",
            })  # fmt: skip
            email.traceparent = _out(span.get_span_context()).traceparent
        return span


class _Handling:
    """Around a call of the handler. Most mails are not sampled: for those it does next to nothing."""

    __slots__ = ("_handled", "_spans", "_token")

    def __init__(self, spans: Sequence[Span], handled: deque[SpanContext]) -> None:
        self._spans, self._handled = spans, handled

    def __enter__(self) -> Sequence[Span]:
        # Of a batch there is no one mail that what the handler calls belongs to.
        above = set_span_in_context(self._spans[0], _ROOT) if len(self._spans) == 1 else _ROOT
        self._token = attach(above)
        return self._spans

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self._token)
        for span in self._spans:
            if span.is_recording():
                if error is not None:
                    _note(span, error)
                self._handled.append(span.get_span_context())
                span.end()


def _current(span: Span) -> AbstractContextManager[Span]:
    """What is called within belongs to this span; an exception is noted by us, without its words."""
    return use_span(span, record_exception=False, set_status_on_exception=False)


def _of_operation(name: str, kind: str) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "redis",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


def _of_mail(identity: str, account: str, mailbox: str, size: int) -> dict[str, AttributeValue]:
    return {
        "messaging.message.id": identity,
        "messaging.message.body.size": size,
        "fastmail_ingest.account": account,
        "fastmail_ingest.mailbox": mailbox,
    }


@contextmanager
def _outcome(spans: Sequence[Span]) -> Iterator[None]:
    """What was raised, by its class: its words may quote the mail."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            _note(span, error)
        raise


def _note_answers(spans: Sequence[Span], answer: object) -> None:
    """What a batch handler says of each mail, and whatever else is no success although it is returned."""
    answers = answer if isinstance(answer, (list, tuple)) and len(answer) == len(spans) else [answer]
    for span, each in zip(spans, answers, strict=False):
        if isinstance(each, BaseException):
            _note(span, each)


def _note(span: Span, error: BaseException) -> None:
    outcome = {Retry: "retry", Reject: "rejected"}
    name = next((word for kind, word in outcome.items() if isinstance(error, kind)), "error")
    span.set_attribute("fastmail_ingest.outcome", name)
    span.set_attribute("error.type", type(error).__qualname__)
    if name == "error":
        span.set_status(StatusCode.ERROR)


def _in(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)


def _out(context: SpanContext) -> TraceContext:
    return TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)


def _number(trace_id: str) -> int:
    """A trace id as a number; 0 for what is none."""
    return int(trace_id, 16) if is_trace_id(trace_id) else 0
