"""No server, however broken, makes the FETCH reader give away a mail that is not there."""

import random
import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmail_ingest.errors import FastmailIngestError, ProtocolError, SourceUnavailable
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.fetch import read_fetch, seems_to_swallow
from fastmail_ingest.source.wire import Wire

OK = b"A1 OK done\r\n"
FIRST = b"* 1 FETCH (UID 1 BODY[] {5}\r\nfirst)\r\n"
LAST = b"* 3 FETCH (UID 3 BODY[] {4}\r\nlast)\r\n"


class Feed:
    """A socket on which these bytes come, at most `step` at once, and then the end of the connection."""

    def __init__(self, data: bytes, step: int = 1 << 20) -> None:
        self._data = data
        self._step = step
        self._at = 0

    def gettimeout(self) -> None:
        return None

    def recv_into(self, view: memoryview) -> int:
        piece = self._data[self._at : self._at + min(self._step, len(view))]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def read(data: bytes, max_mail: int = 1 << 20, step: int = 1 << 20) -> tuple[list[Fetched], Exception | None]:
    """What was given away, and what ended it."""
    mails: list[Fetched] = []
    try:
        mails.extend(read_fetch(Wire(Feed(data, step)), b"A1", max_mail, lambda _: None))
    except FastmailIngestError as error:
        return mails, error
    return mails, None


def given_away(data: bytes) -> list[tuple[int, bytes | None]]:
    mails, error = read(data)
    assert isinstance(error, ProtocolError), error
    return [(mail.uid, mail.raw) for mail in mails]


def answer(*mails: tuple[int, bytes]) -> bytes:
    return b"".join(response(number, uid, raw) for number, (uid, raw) in enumerate(mails, 1)) + OK


def response(number: int, uid: int, raw: bytes, announced: int = -1) -> bytes:
    size = len(raw) if announced < 0 else announced
    return b"* %d FETCH (UID %d FLAGS (\\Seen) BODY[] {%d}\r\n%s)\r\n" % (number, uid, size, raw)


# --- what follows a literal


@pytest.mark.parametrize(
    "after",
    [
        b"\r\n", b") \r\n", b" )\r\n", b"))\r\n", b")\n", b"x)\r\n", b"rest of the text\r\n", b" rest of it\r\n",
        b"UID 2)\r\n", b" UID 2\r\n", b"  UID 2)\r\n", b" UID 2 )\r\n", b" (x))\r\n", b" FLAGS (\\Seen)\r\n", b" 2 FETCH)\r\n",
        b' FLAGS ("x)\r\n', b" FLAGS (a {1}\r\n)\r\n", b" FLAGS )\r\n", b" X {99999999}\r\n",
        b" FETCH (UID 3 BODY[] {4}\r\nlast)\r\n", b" UID 3 FLAGS () BODY[] {4}\r\nlast)\r\n",
        b" BODY[] {4}\r\nlast)\r\n", b' BODY[] "again")\r\n', b" UID 2 UID 3)\r\n", b" UID 9 FLAGS () FLAGS ())\r\n",
        b" X " + b"(" * 5000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_the_grammar_does_not_allow_after_a_body_is_refused(after: bytes) -> None:
    assert given_away(FIRST + b"* 2 FETCH (UID 2 BODY[] {3}\r\nabc" + after + LAST + OK) == [(1, b"first")]


@pytest.mark.parametrize(
    "after",
    [
        b")\r\n", b" FLAGS ())\r\n", b" MODSEQ (12))\r\n", b' X "a)b")\r\n', b" X {3}\r\n)\r\n)\r\n", b" X NIL Y (a (b c)))\r\n",
        b" RFC822.SIZE 3 X-GM-LABELS (\\Inbox {2}\r\n)) z))\r\n", b" BODY[TEXT]<3> NIL)\r\n",
    ],
)  # fmt: skip
def test_what_it_allows_is_read(after: bytes) -> None:
    mails, error = read(FIRST + b"* 2 FETCH (UID 2 BODY[] {3}\r\nabc" + after + LAST + OK)
    assert error is None
    assert [(mail.uid, mail.raw) for mail in mails] == [(1, b"first"), (2, b"abc"), (3, b"last")]


@pytest.mark.parametrize(
    "line",
    [
        b"* 2 FETCH (UID 2 UID 3 BODY[] {1}\r\nx)\r\n", b"* 2 FETCH (BODY[] {1}\r\nx)\r\n",
        b"* 2 FETCH (UID NIL BODY[] {1}\r\nx)\r\n", b"* 2 FETCH (UID x BODY[] {1}\r\nx)\r\n", b"* 2 FETCH ()\r\n",
        b"* 2 FETCH (UID 2 BODY[] x)\r\n", b"* 2 FETCH (UID 2 BODY[] (x))\r\n", b"* 2 FETCH (UID 2\r\n", b"* 2 FETCH (\r\n",
        b"* 2 FETCH (UID 2 BODY[] {1} x)\r\n", b"* 2 FETCH (UID 2 BODY[] {-1}\r\nx)\r\n",
    ],
)  # fmt: skip
def test_a_response_that_makes_no_sense_ends_the_fetch(line: bytes) -> None:
    assert given_away(FIRST + line + LAST + OK) == [(1, b"first")]


def test_only_a_whole_body_is_the_mail() -> None:
    mails, _ = read(b"* 1 FETCH (UID 1 BODY[]<5> {1}\r\nx BODY[TEXT] {1}\r\ny X (BODY[] {1}\r\nz))\r\n" + OK)
    assert [(mail.uid, mail.raw) for mail in mails] == [(1, None)]


def test_a_uid_within_a_label_is_none() -> None:
    mails, _ = read(b'* 1 FETCH (X-GM-LABELS ("UID 9 FLAGS (a)") UID 1 BODY[] {1}\r\nx)\r\n' + OK)
    assert [(mail.uid, mail.labels, mail.flags) for mail in mails] == [(1, ("UID 9 FLAGS (a)",), ())]


# --- sizes that are wrong


@pytest.mark.parametrize("larger", [*range(1, 100), 1 << 40])
def test_a_size_too_large_gives_no_mail_and_takes_none_from_another(larger: int) -> None:
    broken = response(2, 2, b"body\r\n", 6 + larger)
    taken: list[Fetched] = []
    swallowed = FIRST + broken + LAST + LAST.replace(b"3", b"4") + OK
    reader = read_fetch(
        Wire(Feed(swallowed)), b"A1", 1 << 20, lambda _: None, lambda mail, _: suspect(mail, taken)
    )
    mails: list[Fetched] = []
    try:
        mails.extend(reader)
    except (ProtocolError, SourceUnavailable):
        assert not taken
    else:
        # It ends just where another mail ends: this is seen by the gap, and has to be looked at again.
        assert [mail.uid for mail in taken] == [2]
    assert [(mail.uid, mail.raw) for mail in mails if mail.uid != 4] == [(1, b"first")]


def suspect(mail: Fetched, taken: list[Fetched]) -> bool:
    if found := seems_to_swallow(mail.raw or b""):
        taken.append(mail)
    return found


TEXTS = (
    b"a\r\nb (see c)\r\n", b")\r\n)\r\n", b"* one\r\n* two)\r\n* three\r\n", b" FLAGS ())\r\n", b"x)\r\n* 4 things\r\n",
    b"x)\r\n* OKAY then\r\n", b"x)\r\nA1 OKAY\r\n",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_size_too_small_gives_no_mail(text: bytes) -> None:
    for size in range(len(text)):
        assert given_away(FIRST + response(2, 2, text, size) + LAST + OK) == [(1, b"first")]


def test_a_mail_is_given_away_as_soon_as_the_server_goes_on() -> None:
    class Pause(Exception):
        pass

    class Pausing(Feed):
        def recv_into(self, view: memoryview) -> int:
            if not (count := super().recv_into(view)):
                raise Pause
            return count

    for sign in (b"* 2 EXISTS\r\n", b"* OK still here\r\n", b"* 2 FETCH (FLAGS ())\r\n", b"A1 NO later\r\n"):
        reader = read_fetch(Wire(Pausing(FIRST + sign)), b"A1", 99, lambda _: None)
        assert next(reader).raw == b"first"
    reader = read_fetch(Wire(Pausing(FIRST)), b"A1", 99, lambda _: None)
    with pytest.raises(Pause):
        next(reader)


# --- anything at all

# Pieces of which mails and responses are made. None of them is a whole response: what is, at the very
# place at which a size lies, nobody can tell from the server's own words.
FRAGMENTS = [
    b")",
    b"\r\n",
    b" ",
    b"a",
    b"* ",
    b"1 ",
    b")\r\n",
    b" UID 7",
    b" FLAGS ()",
    b"{3}\r\n",
    b"FETCH (",
    b'"',
]
_ITEMS_AND_END = re.compile(rb"(?: [A-Z]+ (?:\(\)|\d+))*\)\r\n")
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join)
bodies = st.lists(fragments, min_size=1, max_size=5)


def numbered(mails: Iterable[bytes]) -> list[tuple[int, bytes]]:
    return [(100 + number, raw) for number, raw in enumerate(mails)]


@settings(max_examples=400)
@given(bodies, st.data())
def test_a_transcript_cut_anywhere_gives_only_mails_that_are_there(
    mails: list[bytes], data: st.DataObject
) -> None:
    sent = numbered(mails)
    whole = answer(*sent)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    got, error = read(cut, step=data.draw(st.integers(1, 40)))
    assert [(mail.uid, mail.raw) for mail in got] == sent[: len(got)]
    assert isinstance(error, SourceUnavailable)


@settings(max_examples=600)
@given(bodies, st.data())
def test_a_wrong_size_anywhere_gives_only_mails_that_are_there(
    mails: list[bytes], data: st.DataObject
) -> None:
    sent = numbered(mails)
    victim = data.draw(st.integers(0, len(sent) - 1))
    uid, raw = sent[victim]
    # More than the framing of a mail could end just where another mail ends.
    wrong = st.integers(max(-len(raw), -200), 20) | st.integers(10_000, 1 << 60)
    size = len(raw) + data.draw(wrong.filter(lambda by: by != 0))
    parts = [response(number, *mail) for number, mail in enumerate(sent, 1)]
    parts[victim] = response(victim + 1, uid, raw, size)
    got, error = read(b"".join(parts) + OK, step=data.draw(st.integers(1, 40)))
    assert [(mail.uid, mail.raw) for mail in got] == sent[:victim]
    assert error is not None


@settings(max_examples=600)
@given(bodies, st.data())
def test_bytes_lost_or_put_into_a_body_give_only_mails_that_are_there(
    mails: list[bytes], data: st.DataObject
) -> None:
    sent = numbered(mails)
    victim = data.draw(st.integers(0, len(sent) - 1))
    parts = [response(number, *mail) for number, mail in enumerate(sent, 1)]
    head, body = parts[victim][: -len(sent[victim][1]) - 3], parts[victim][-len(sent[victim][1]) - 3 :]
    at = data.draw(st.integers(0, len(body)))
    lost = data.draw(st.integers(0, 20))
    put = data.draw(fragments)
    changed = body[:at] + put + body[at + lost :]
    parts[victim] = head + changed
    got, _ = read(b"".join(parts) + OK, step=data.draw(st.integers(1, 40)))
    # A body of the right length within the right framing is what the server has sent, whatever it was.
    uid, raw = sent[victim]
    there = set(sent) | {(uid, changed[:-3])}
    if _ITEMS_AND_END.fullmatch(changed[len(raw) :]):
        there.add((uid, changed[: len(raw)]))
    assert {(mail.uid, mail.raw) for mail in got if mail.raw is not None} <= there


@settings(max_examples=400)
@given(bodies, st.integers(0, 1 << 30), st.integers(1, 8))
def test_any_damage_ends_in_mails_or_in_an_error_of_ours(mails: list[bytes], seed: int, hits: int) -> None:
    rng = random.Random(seed)
    damaged = bytearray(answer(*numbered(mails)))
    for _ in range(hits):
        at, length = rng.randrange(len(damaged) + 1), rng.choice((0, 1, 2, 30))
        damaged[at : at + length] = rng.choice([rng.randbytes(3), b"\r\n", b"{999}\r\n", b")", b" ", b""])
    read(bytes(damaged), max_mail=rng.choice((10, 1 << 20)), step=rng.randint(1, 50))
