"""A traceparent is read as W3C Trace Context says, and whatever an entry holds, what is handed on is sound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stream_world import envelope

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.model.trace import Origin, TraceContext, context_of, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"
KEY = MailboxKey("a", "INBOX")


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (WHOLE, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),  # other flags mean nothing to us
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"01-{TRACE}-{SPAN}-01", True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-what the future brings", True),
    ],
)
def test_what_is_one_is_read(text: str, sampled: bool) -> None:
    assert parse(text) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "", "00", WHOLE[:-1], f"{WHOLE}-", f"{WHOLE}-more", f"{WHOLE}0", f" {WHOLE}", f"{WHOLE}\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"01-{TRACE}-{SPAN}-01-{'x' * 1000}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"0g-{TRACE}-{SPAN}-01",
        WHOLE.replace("-", "_"),
        WHOLE.replace("4", "\u0664"),  # a digit, but not of ours
    ],
)  # fmt: skip
def test_what_is_none_is_not_read(text: str) -> None:
    assert parse(text) is None


def test_only_what_version_00_knows_is_handed_on() -> None:
    found = parse(f"cc-{TRACE}-{SPAN}-ff-more")
    assert found is not None
    assert found.traceparent == WHOLE


@given(st.text(), st.text())
def test_whatever_an_entry_holds_what_is_handed_on_is_sound(trace_id: str, traceparent: str) -> None:
    found = context_of(Origin(trace_id, traceparent))
    assert found is None or parse(found.traceparent) == found


@pytest.mark.parametrize(
    ("trace_id", "traceparent", "handed_on"),
    [
        (TRACE, WHOLE, WHOLE),
        (TRACE, "", f"00-{TRACE}-{TRACE[16:]}-00"),
        (TRACE, "nonsense\r\nX-Evil: 1", f"00-{TRACE}-{TRACE[16:]}-00"),
        ("1" * 32, WHOLE, f"00-{'1' * 32}-{'1' * 16}-00"),  # that of another mail
        (f"{'1' * 16}{'0' * 16}", "", f"00-{'1' * 16}{'0' * 16}-{'1' * 16}-00"),
        ("0" * 32, "", ""),
        ("\r\nX-Evil: 1", "", ""),
        ("", WHOLE, ""),
    ],
)
def test_a_mail_says_what_to_hand_on(trace_id: str, traceparent: str, handed_on: str) -> None:
    made = envelope("a:INBOX:7:1", KEY, 7, 1, b"a: b\n\n")
    changed = codec.decode(
        codec.encode(codec.msgspec.structs.replace(made, trace_id=trace_id, traceparent=traceparent))
    )
    email = Email(changed)
    assert email.traceparent == handed_on
    email.traceparent = WHOLE
    assert email.traceparent == WHOLE


def test_an_entry_of_an_older_version_has_none() -> None:
    made = envelope("a:INBOX:7:1", KEY, 7, 1, b"a: b\n\n")
    fields = codec.msgspec.msgpack.decode(codec.encode(made))
    assert fields.pop() == ""
    assert codec.decode(codec.msgspec.msgpack.encode(fields)) == made
