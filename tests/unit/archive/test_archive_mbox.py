"""An mbox gives back the mails that went in, whatever the blocks it is read in."""

import io
import re
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastmail_ingest.archive import split
from fastmail_ingest.archive.normal import from_mbox, with_crlf
from fastmail_ingest.archive.split import Piece, Splitter
from fastmail_ingest.errors import ArchiveError

LINE = b"From someone@example.org Thu Aug  4 14:46:24 2011"
MAX = 1 << 20
DATE_S = 1312469184.0

# Lines that come close to what ends a mail, and some that are just lines.
lines = st.one_of(
    st.sampled_from(
        [
            b"", b"From ", b"From here on", LINE, b">From me", b">>From us", b">", b"From", b"F", b"\tFrom x",
            b"Content-Length: 3", b"From 1@xxx Thu Aug 04 14:46:24 +0000 2011", b"-- ", b"\xff\x00 8 bit",
        ]
    ),
    st.binary(max_size=40).map(lambda line: line.translate(None, b"\r\n")),
)  # fmt: skip
heads = st.lists(
    st.sampled_from([b"Subject: x", b"To: y", b"Received: by x\n\tfor y"]), min_size=1, max_size=3
)
mails = st.tuples(heads, st.lists(lines, max_size=12)).map(
    lambda parts: b"".join(line + b"\n" for line in (*parts[0], b"", *parts[1]))
)


def quoted(mail: bytes) -> bytes:
    return re.sub(rb"^(>*From )", rb">\1", mail, flags=re.MULTILINE)


def mbox(mails: list[bytes], quote: Callable[[bytes], bytes] = quoted, ends: bytes = b"\n") -> bytes:
    text = b"".join(LINE + b"\n" + quote(mail) + b"\n" for mail in mails)
    return text.replace(b"\n", ends)


def pieces(
    data: bytes, block: int = split.BLOCK_BYTES, max_mail: int = MAX, position: int = 0
) -> list[Piece]:
    source = io.BytesIO(data)
    source.seek(position)
    return list(Splitter(lambda count: source.read(min(count, block)), position, max_mail).pieces())


def raws(data: bytes, **how: int) -> list[bytes]:
    return [from_mbox(piece, how.get("max_mail", MAX)).raw for piece in pieces(data, **how)]


@given(st.lists(mails, max_size=5), st.integers(1, 200), st.sampled_from([b"\n", b"\r\n"]))
def test_what_goes_in_comes_out(wanted: list[bytes], block: int, ends: bytes) -> None:
    data = mbox(wanted, ends=ends)
    found = pieces(data, block)
    assert [from_mbox(piece, MAX).raw for piece in found] == [with_crlf(mail) for mail in wanted]
    assert [piece.end for piece in found][-1:] == [len(data)][: len(found)]


@given(st.lists(mails, min_size=1, max_size=5), st.integers(1, 200), st.data())
def test_one_goes_on_behind_any_mail(wanted: list[bytes], block: int, data: st.DataObject) -> None:
    text = mbox(wanted)
    found = pieces(text)
    at = data.draw(st.integers(0, len(found) - 1))
    assert pieces(text, block, position=found[at].end) == found[at + 1 :]


@given(st.lists(mails, min_size=1, max_size=5), st.integers(1, 200), st.sampled_from([b"\n", b"\r\n"]))
def test_lengths_are_believed_where_they_are_true(wanted: list[bytes], block: int, ends: bytes) -> None:
    def lengths(mail: bytes) -> bytes:
        head, _, body = mail.partition(b"\n\n")
        size = len(body) if ends == b"\n" else len(body.replace(b"\n", b"\r\n"))
        return head + b"\nContent-Length: %d\n\n" % size + body

    assert raws(mbox(wanted, lengths, ends), block=block) == [with_crlf(mail) for mail in wanted]


@given(st.lists(mails, min_size=1, max_size=5), st.integers(1, 200), st.booleans(), st.data())
def test_before_damage_come_whole_mails_only(
    wanted: list[bytes], block: int, told: bool, data: st.DataObject
) -> None:
    def length(mail: bytes) -> bytes:
        head, _, body = mail.partition(b"\n\n")
        return head + b"\nContent-Length: %d\n\n" % len(body) + body

    text = mbox(wanted, length if told else quoted)
    source, found = io.BytesIO(text[: data.draw(st.integers(0, len(text)))]), []

    def read(count: int) -> bytes:
        if part := source.read(min(count, block)):
            return part
        raise ArchiveError("damaged")

    whole = pieces(text)
    with pytest.raises(ArchiveError, match="damaged"):
        found.extend(Splitter(read, 0, MAX).pieces())
    assert found == whole[: len(found)]
    # All that another one visibly follows.
    assert len(found) >= sum(piece.end + len(LINE) + 1001 <= len(source.getvalue()) for piece in whole)


@pytest.mark.parametrize("length", [b"0", b"3", b"99", b"17179869184", b"-1", b"x"])
def test_lengths_that_lie_change_nothing(length: bytes) -> None:
    first = b"Subject: 1\nContent-Length: 6\n\nbody1\n"
    second = b"Subject: 2\nContent-Length: %b\n\nbody of two\n" % length
    third = b"Subject: 3\n\nlast\n"
    found = raws(mbox([first, second, third]))
    assert [raw.split(b"\r\n\r\n")[1] for raw in found] == [b"body1\r\n", b"body of two\r\n", b"last\r\n"]


def test_a_length_cannot_swallow_the_mail_behind_where_the_file_has_none() -> None:
    victim = mbox([b"Subject: victim\n\nx\n"])
    body = b"x\n\n"
    hostile = b"Subject: h\nContent-Length: %d\n\nx\n" % (len(body) + len(victim) - 1)
    found = raws(mbox([b"Subject: 1\n\n1\n", hostile, b"Subject: victim\n\nx\n", b"Subject: 4\n\n\n"]))
    assert len(found) == 4


def test_a_sentence_is_no_mail_where_the_file_has_dates() -> None:
    text = b"Subject: 1\n\nDear all,\n\nFrom here it gets worse.\n\nFrom 9 to 5.\n"
    assert raws(mbox([text, b"Subject: 2\n\nx\n"], quote=lambda mail: mail)) == [
        with_crlf(text),
        b"Subject: 2\r\n\r\nx\r\n",
    ]


@pytest.mark.parametrize(
    ("line", "date"),
    [
        (b"From - Thu Aug 04 14:46:24 2011", DATE_S),
        (b"From x@y Thu Aug  4 14:46 2011", DATE_S - 24),
        (b"From x@y Thu Aug  4 16:46:24 CEST 2011", None),
        (b"From x@y Thu, 4 Aug 2011 14:46:24 +0000", None),
        (b"From 1376223687785267735@xxx Thu Aug 04 16:46:24 +0200 2011", DATE_S),
        (b"From ???@??? Thu Aug 04 14:46:24 2011", DATE_S),
        (b"From x@y Thu Aug 99 14:46:24 2011", None),
        (b"From x 2011-08-04 14:46:24", 0.0),
    ],
)
def test_from_lines_of_many_programs(line: bytes, date: float | None) -> None:
    text = (line + b"\nSubject: 1\n\nx\n\n") * 2
    found = [from_mbox(piece, MAX) for piece in pieces(text)]
    assert [mail.raw for mail in found] == [b"Subject: 1\r\n\r\nx\r\n"] * 2
    assert date is None or found[1].internal_date == date


def test_without_dates_every_from_line_counts() -> None:
    assert len(pieces(b"From a\nSubject: 1\n\nx\n\nFrom b\nSubject: 2\n\ny\n")) == 2


@given(st.binary(max_size=2000), st.integers(1, 100))
@example(b"From \n\nFrom \n\n", 3)
@example(b"From x\n\r\nFrom y\r\n\r\n\nFrom", 1)
def test_nothing_breaks_it(data: bytes, block: int) -> None:
    text = b"From " + data
    found = pieces(text, block, max_mail=300)
    assert found[-1].end == len(text)
    assert [piece.end for piece in found] == sorted({piece.end for piece in found})
    assert pieces(text, max_mail=300)[-1].end == len(text)


@given(st.lists(mails, min_size=1, max_size=4), st.integers(1, 200), st.integers(0, 3))
def test_a_mail_without_end_harms_no_other(wanted: list[bytes], block: int, at: int) -> None:
    large = b"Subject: large\n\n" + b"0123456789\n" * 500
    at = min(at, len(wanted))
    found = [
        from_mbox(piece, 3000) for piece in pieces(mbox([*wanted[:at], large, *wanted[at:]]), block, 3000)
    ]
    assert [mail.raw for mail in found[:at] + found[at + 1 :]] == [with_crlf(mail) for mail in wanted]
    assert found[at].truncated
    assert with_crlf(large).startswith(found[at].raw)
    assert found[at].size >= len(large)


def test_memory_stays_within_the_largest_mail() -> None:
    max_mail, total = 2 << 20, 64 << 20
    left = total
    line = b"x" * 99 + b"\n"
    block = line * 10_000

    def read(count: int) -> bytes:
        nonlocal left
        if left == total:
            left -= 1
            return LINE + b"\nSubject: endless\n\n"
        left -= len(block)
        return block if left > 0 else b""

    tracemalloc.start()
    (piece,) = Splitter(read, 0, max_mail).pieces()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert piece.cut
    assert piece.size > total - 2 * len(block)
    assert peak < 3 * max_mail


def test_takeout_headers_become_facts() -> None:
    mail = (
        b"From 1376223687785267735@xxx Thu Aug 04 14:46:24 +0000 2011\r\n"
        b"X-GM-THRID: 1376223687785267000\r\n"
        b'X-Gmail-Labels: =?UTF-8?Q?Bo=C3=AEte_de_r=C3=A9ception,Ouvert,?=\r\n =?UTF-8?Q?"a=2C_b"?=\r\n'
        b"Delivered-To: x@example.org\r\nStatus: RO\r\nX-Gmail-Labels: forged\r\n\r\nhello\r\n\r\n"
    )
    (found,) = (from_mbox(piece, MAX) for piece in pieces(mail))
    assert found.raw == (
        b"Delivered-To: x@example.org\r\nStatus: RO\r\nX-Gmail-Labels: forged\r\n\r\nhello\r\n"
    )
    assert (found.gm_msgid, found.thread_id) == ("1376223687785267735", "1376223687785267000")
    assert found.labels == ("Boîte de réception", "Ouvert", "a, b")
    assert found.internal_date == DATE_S


def test_only_takeout_itself_names_a_mail() -> None:
    forged = b"Subject: x\nX-GM-THRID: 5\nX-Gmail-Labels: Inbox\n\nhello\n"
    text = b"From 7@xxx Thu Aug 04 14:46:24 +0000 2011\n" + forged + b"\n"
    (found,) = (from_mbox(piece, MAX) for piece in pieces(text))
    assert (found.gm_msgid, found.thread_id, found.labels) == ("", "", ())
    assert found.raw == with_crlf(forged)


@pytest.mark.parametrize(
    "labels", [b"=?nonsense?Q?x?=", b"=?utf-8?B?!!?=", b'"open', b"\xff\xfe", b",,", b"a\x00b"]
)
def test_labels_of_a_stranger(labels: bytes) -> None:
    text = LINE + b"\nX-GM-THRID: 1\nX-Gmail-Labels: " + labels + b"\nSubject: x\n\ny\n"
    (found,) = (from_mbox(piece, MAX) for piece in pieces(text))
    assert found.raw == b"Subject: x\r\n\r\ny\r\n"
    assert all(isinstance(label, str) and label for label in found.labels)


def test_headers_of_mail_programs_are_not_the_mails() -> None:
    text = (
        b"X-Mozilla-Status: 0005\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: a b\n\t c\nSubject: x\nStatus: RO\n"
        b"X-Status: AF\nX-UID: 7\nX-IMAPbase: 1 2\nX-Keywords: y\nTo: z\n\nStatus: stays\n"
    )
    (found,) = (from_mbox(piece, MAX) for piece in pieces(mbox([text])))
    assert found.raw == b"Subject: x\r\nTo: z\r\n\r\nStatus: stays\r\n"
    assert found.flags == ("\\Seen", "\\Flagged", "\\Answered")
