"""Where a mail is in its trace: W3C Trace Context, https://www.w3.org/TR/trace-context/ ."""

import re
from typing import NamedTuple

SAMPLED = 0x01  # the one flag of version 00; others must not be handed on (3.2.2.5)
# 3.2.2: lower case alone; later versions begin alike, and may go on behind a hyphen.
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_NO_TRACE = "0" * 32
_LENGTH_MAX = 512  # of a version that we do not know


class TraceContext(NamedTuple):
    """A span of somebody, below which ours are."""

    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    sampled: bool

    @property
    def traceparent(self) -> str:
        """As it travels in the header of that name, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED if self.sampled else 0:02x}"


class Origin(NamedTuple):
    """The beginning of a mail's trace; `traceparent` is empty if nobody has recorded it."""

    trace_id: str
    traceparent: str = ""


def parse(text: str) -> TraceContext | None:
    """Read a traceparent; None for what is none, or is of the forbidden version ff."""
    found = _FORM.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & SAMPLED))


def is_trace_id(text: str) -> bool:
    """Whether it is one: 32 hex digits in lower case, not all of them 0."""
    return _TRACE_ID.fullmatch(text) is not None and text != _NO_TRACE


def recorded(origin: Origin) -> TraceContext | None:
    """The span in which a mail's trace begins, if somebody has decided whether to record it."""
    found = parse(origin.traceparent) if origin.traceparent else None
    return found if found is not None and found.trace_id == origin.trace_id else None


def context_of(origin: Origin) -> TraceContext | None:
    """What is to be handed on of a mail: as it was recorded, or else by its trace id alone.

    Then half of the trace id stands for the span that nobody recorded: the same for each try. None if even
    the trace id is none; entries may be written by others.
    """
    if (found := recorded(origin)) is not None:
        return found
    if not is_trace_id(origin.trace_id):
        return None
    halves = origin.trace_id[16:], origin.trace_id[:16]
    return TraceContext(origin.trace_id, next(half for half in halves if int(half, 16)), sampled=False)
