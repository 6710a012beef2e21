"""Large mails in the FETCH reader: into a sink piece by piece, with the same care as small ones."""

import hashlib
import itertools
import socket
import threading
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmail_ingest.errors import ProtocolError, SourceUnavailable
from fastmail_ingest.model.identity import HASH_BYTES, content_hash
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.fetch import TRUNCATED_KEEP_BYTES, read_fetch
from fastmail_ingest.source.large import ANNOUNCED_MAX_BYTES, Large
from fastmail_ingest.source.swallow import SwallowWatch, seems_to_swallow
from fastmail_ingest.source.wire import Wire

ABOVE, MOST = 100, 10_000_000
OK = b"A1 OK done\r\n"


class Written:
    """A draft in memory."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.largest = 0

    def write(self, chunk: bytes) -> None:
        self.bytes += chunk
        self.largest = max(self.largest, len(chunk))

    def commit(self, name: str) -> None: ...
    def renew(self) -> None: ...
    def discard(self) -> None: ...
    def remove(self) -> None: ...


class Sink:
    def __init__(self) -> None:
        self.drafts: list[Written] = []

    def begin(self) -> Written:
        self.drafts.append(Written())
        return self.drafts[-1]


def read(pieces: Iterable[bytes], sink: Sink, *, above: int = ABOVE, most: int = MOST) -> list[Fetched]:
    ours, theirs = socket.socketpair()

    def feed() -> None:
        try:
            for piece in pieces:
                theirs.sendall(piece)
        except OSError:
            return
        finally:
            theirs.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        return list(read_fetch(Wire(ours), b"A1", most, lambda _: None, large=Large(above, sink)))
    finally:
        ours.close()
        feeder.join()


def response(number: int, raw: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return b"* %d FETCH (%sBODY[] {%d}\r\n%s%s)\r\n" % (number, before, len(raw), raw, after)


def whole(mail: Fetched) -> bytes:
    """What a mail's bytes are, wherever they went."""
    return bytes(mail.draft.bytes) if isinstance(mail.draft, Written) else mail.raw or b""


@pytest.mark.parametrize(("before", "after"), [(b"UID 7 ", b""), (b"", b" UID 7 X-GM-MSGID 99")])
def test_a_large_mail_goes_into_the_sink_wherever_its_uid_stands(before, after) -> None:
    raw, sink = b"Subject: big\r\n\r\n" + b"z" * 3_000_000, Sink()
    (mail,) = read([response(1, raw, before, after), OK], sink)
    assert (mail.uid, mail.size, mail.truncated) == (7, len(raw), False)
    assert whole(mail) == raw
    assert mail.raw == raw[:TRUNCATED_KEEP_BYTES]
    assert mail.content_hash == content_hash(raw) == hashlib.sha256(raw).digest()[:HASH_BYTES]
    assert max(draft.largest for draft in sink.drafts) <= 256 * 1024


@pytest.mark.parametrize(
    ("size", "where"), [(ABOVE, "memory"), (ABOVE + 1, "sink"), (200, "sink"), (201, "cut")]
)
def test_the_size_decides_where_a_mail_goes(size, where) -> None:
    raw, sink = b"y" * size, Sink()
    (mail,) = read([response(1, raw, b"UID 1 "), OK], sink, most=200)
    assert ("sink" if mail.draft else "cut" if mail.truncated else "memory") == where
    assert mail.size == size
    assert len(sink.drafts) == (where == "sink")


def test_a_limit_above_max_mail_leaves_no_mail_for_the_sink() -> None:
    mails = read([response(1, b"y" * 200, b"UID 1 "), response(2, b"y" * 201, b"UID 2 "), OK], sink := Sink(),
                 above=500, most=200)  # fmt: skip
    assert [(len(mail.raw), mail.truncated) for mail in mails] == [(200, False), (200, True)]
    assert sink.drafts == []


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 70),
    st.integers(0, 300),
)
def test_in_whatever_pieces_it_comes_the_mails_are_the_same(kinds, step: int, above: int) -> None:
    raws = [(b")\r\n* 9 FETCH (" * (1 + size // 15))[:size] if odd else b"q" * size for size, odd in kinds]
    answer = b"".join(response(n, raw, b"UID %d " % n) for n, raw in enumerate(raws, 1)) + OK
    pieces = (answer[at : at + step] for at in range(0, len(answer), step))
    mails = read(pieces, Sink(), above=above, most=350)
    assert [(mail.uid, mail.size) for mail in mails] == [(n, len(raw)) for n, raw in enumerate(raws, 1)]
    for mail, raw in zip(mails, raws, strict=True):
        expected = raw if len(raw) <= 350 else raw[:350]
        assert whole(mail) == expected
        assert mail.content_hash == content_hash(expected)
        assert (mail.draft is not None) == (above < len(raw) <= 350)
        assert mail.swallows == (mail.draft is not None and seems_to_swallow(raw))


@given(st.lists(st.sampled_from([b")", b"\r", b"\n", b"* ", b"12", b" FETCH (", b")\r\n* 4294967295 FETCH (", b"x" * 30])),
       st.lists(st.integers(1, 9)))  # fmt: skip
def test_the_watch_sees_across_pieces_what_the_whole_shows(parts: list[bytes], steps: list[int]) -> None:
    raw, watch, at = b"".join(parts), SwallowWatch(), 0
    for step in itertools.cycle(steps or [1]):
        if at >= len(raw):
            break
        watch.see(raw[at : at + step])
        at += step
    assert watch.found == seems_to_swallow(raw)


def test_a_large_mail_that_seems_to_have_swallowed_others_is_asked_about() -> None:
    raw, asked = b"x" * 200 + b")\r\n* 2 FETCH (UID 9 BODY[] {3}\r\nabc", []
    ours, theirs = socket.socketpair()
    theirs.sendall(response(1, raw, b"UID 1 ") + response(3, b"c", b"UID 3 ") + OK)

    def takes_away(mail: Fetched, unknown_follows: bool) -> bool:
        asked.append((mail.uid, mail.swallows))
        return mail.swallows

    sink = Sink()
    mails = list(read_fetch(Wire(ours), b"A1", MOST, lambda _: None, takes_away, Large(ABOVE, sink)))
    assert [mail.uid for mail in mails] == [3]
    assert (1, True) in asked
    ours.close()
    theirs.close()


@pytest.mark.parametrize("size", [ANNOUNCED_MAX_BYTES + 1, 4 * 1024**3, 10**18])
def test_a_literal_that_no_mail_has_is_refused_at_once(size) -> None:
    sink = Sink()
    ours, theirs = socket.socketpair()
    # Not one byte of it comes: only a reader that does not wait for any can answer.
    theirs.sendall(b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % size)
    with pytest.raises(ProtocolError, match=f"announced a mail of {size} bytes"):
        list(read_fetch(Wire(ours), b"A1", MOST, lambda _: None, large=Large(ABOVE, sink)))
    assert sink.drafts == []
    ours.close()
    theirs.close()


def test_between_max_mail_and_that_a_mail_is_skipped_in_bounded_memory() -> None:
    size, block = 64 * 1024 * 1024, bytes(1024 * 1024)
    head = [b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % size]
    tracemalloc.start()
    try:
        (mail,) = read(itertools.chain(head, [block] * 64, [b")\r\n" + OK]), sink := Sink(), most=1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (mail.size, mail.truncated, len(mail.raw), sink.drafts) == (size, True, 1000, [])
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("cut", [1, 150, 70_000])
def test_a_connection_that_ends_within_a_large_mail_gives_no_mail(cut) -> None:
    sink = Sink()
    answer = response(1, b"w" * 100_000, b"UID 1 ")
    with pytest.raises(SourceUnavailable, match="closed the connection"):
        read([answer[: -cut - 3]], sink)
    assert len(sink.drafts) == 1
