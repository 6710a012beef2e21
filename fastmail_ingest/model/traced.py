"""What a mail says of the trace that it belongs to."""

from fastmail_ingest.model.envelope import Envelope
from fastmail_ingest.model.kept import Kept
from fastmail_ingest.model.trace import Origin, context_of


class Traced(Kept):
    """A mail with its trace id, and what it is called by in calls to others."""

    __slots__ = ("_envelope", "_traceparent")
    _envelope: Envelope
    _traceparent: str  # not there before it is used: few mails need it

    @property
    def correlation_id(self) -> str:
        """32 hex digits (W3C trace-id) that stand in every log line about this mail."""
        return self._envelope.trace_id

    @property
    def traceparent(self) -> str:
        """The header of this name (W3C Trace Context) for what you call for this mail; empty if it has none.

        It names the span of this handling where spans are recorded, else where the mail was fetched.
        """
        try:
            return self._traceparent
        except AttributeError:
            found = context_of(origin_of(self))
            return found.traceparent if found is not None else ""

    @traceparent.setter
    def traceparent(self, value: str) -> None:
        self._traceparent = value


def origin_of(mail: Traced) -> Origin:
    """Where its trace begins, as its entry has it; it may have been written by others."""
    envelope = mail._envelope  # noqa: SLF001 - for us, and not for handlers
    return Origin(envelope.trace_id, envelope.traceparent)
