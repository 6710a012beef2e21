"""The FETCH reader: whatever the pieces, the same mails; whatever the server sends, a clear error."""

import itertools
import socket
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.errors import ProtocolError, SourceUnavailable
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.fetch import TRUNCATED_KEEP_BYTES, read_fetch
from fastmail_ingest.source.wire import LINE_MAX_BYTES, Wire

MIB = 1 << 20


def read(pieces: Iterable[bytes], max_mail: int = MIB) -> tuple[list[Fetched], list[bytes]]:
    """Feed these pieces, then the end of the connection."""
    ours, theirs = socket.socketpair()
    other: list[bytes] = []

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
        return list(read_fetch(Wire(ours), b"A1", max_mail, other.append)), other
    finally:
        ours.close()
        feeder.join()


def response(number: int, raw: bytes, extra: bytes = b"") -> bytes:
    return b"* %d FETCH (UID %d %sBODY[] {%d}\r\n%s)\r\n" % (number, number + 100, extra, len(raw), raw)


MAILS = [b"Subject: a\r\n\r\n1", b"", b"x) \r\nA1 OK\r\n* 3 FETCH (UID 9 BODY[] {5}\r\n", b"\x00\xff" * 3000]
ANSWER = b"".join(response(number, raw) for number, raw in enumerate(MAILS)) + b"A1 OK done\r\n"


def test_mails_come_out_as_they_went_in() -> None:
    fetched, _ = read([ANSWER])
    assert [(mail.uid, mail.raw, mail.size) for mail in fetched] == [
        (100 + number, raw, len(raw)) for number, raw in enumerate(MAILS)
    ]


def test_one_byte_at_a_time() -> None:
    fetched, _ = read(ANSWER[at : at + 1] for at in range(len(ANSWER)))
    assert [mail.raw for mail in fetched] == MAILS


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=12))
def test_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(ANSWER)]
    fetched, _ = read(ANSWER[a:b] for a, b in itertools.pairwise(edges))
    assert [mail.raw for mail in fetched] == MAILS


def test_values_around_the_body() -> None:
    before = b'FLAGS (\\Seen $Work) INTERNALDATE "17-Jul-1996 02:44:25 -0700" X-GM-MSGID 1278455344230334865 '
    before += (
        b'X-GM-THRID 12 X-GM-LABELS (\\Inbox "a \\"b\\" c" "&ZeVnLIqe-" plain) EMAILID (M6d99) THREADID (T8) '
    )
    (mail,), _ = read([response(1, b"x", before), b"A1 OK\r\n"])
    assert mail.flags == ("\\Seen", "$Work")
    assert mail.internal_date == 837596665.0
    assert (mail.gm_msgid, mail.gm_thrid, mail.email_id, mail.thread_id) == (
        "1278455344230334865",
        "12",
        "M6d99",
        "T8",
    )
    assert mail.labels == ("\\Inbox", 'a "b" c', "日本語", "plain")


def test_values_after_the_body_and_a_literal_label() -> None:
    answer = b"* 1 FETCH (BODY[] {2}\r\nhi X-GM-LABELS ({3}\r\na)b other) UID 7 FLAGS ())\r\nA1 OK\r\n"
    (mail,), _ = read([answer])
    assert (mail.uid, mail.raw, mail.labels) == (7, b"hi", ("a)b", "other"))


# NIL is none that was given out.
@pytest.mark.parametrize(
    ("body", "raw"), [(b'"short \\"mail\\""', b'short "mail"'), (b'""', b""), (b"NIL", None)]
)
def test_a_body_that_is_no_literal(body: bytes, raw: bytes) -> None:
    (mail,), _ = read([b"* 1 FETCH (UID 5 BODY[] " + body + b")\r\nA1 OK\r\n"])
    assert mail.raw == raw


def test_flag_updates_and_other_news_in_between() -> None:
    news = b"* 23 EXISTS\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 FLAGS ())\r\n* 4 EXPUNGE\r\n"
    fetched, other = read([response(1, b"x"), news, response(2, b"y"), b"A1 OK\r\n"])
    assert [mail.raw for mail in fetched] == [b"x", None, b"y"]
    assert other == [b"* 23 EXISTS\r\n", b"* 4 EXPUNGE\r\n"]


def test_a_mail_above_the_limit_is_cut_and_the_next_one_is_whole() -> None:
    large = bytes(range(256)) * 4000
    fetched, _ = read([response(1, large), response(2, b"y"), b"A1 OK\r\n"], max_mail=100_000)
    assert (fetched[0].truncated, fetched[0].size, len(fetched[0].raw)) == (
        True,
        len(large),
        TRUNCATED_KEEP_BYTES,
    )
    assert (fetched[1].truncated, fetched[1].raw) == (False, b"y")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"A1 NO [UNAVAILABLE] later\r\n", SourceUnavailable, "UNAVAILABLE"),
        (b"A1 BAD what\r\n", ProtocolError, "BAD"),
        (b"* BYE shutting down\r\n", SourceUnavailable, "shutting down"),
        (b"", SourceUnavailable, "closed"),
        (b"* 1 FETCH (UID 1 BODY[] {10}\r\nabc", SourceUnavailable, "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n", ProtocolError, "HTTP"),
        (b"* 1 FETCH (UID 1 X {999999999999}\r\n", ProtocolError, "not a mail"),
        (b"* " + b"x" * (LINE_MAX_BYTES + MIB), ProtocolError, "line of more"),
    ],
    ids=["no", "bad", "bye", "eof", "cut", "http", "huge value", "long line"],
)
def test_what_ends_a_fetch(answer: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read([answer])


def test_an_announced_size_takes_no_memory_before_it_arrives() -> None:
    with pytest.raises(SourceUnavailable):
        read([b"* 1 FETCH (UID 1 BODY[] {900000000000000}\r\nabc"], max_mail=1 << 62)


def test_a_quoted_body_cannot_pass_for_the_servers_words() -> None:
    (mail,), _ = read([b'* 1 FETCH (BODY[] "UID 99 FLAGS (\\\\Deleted)" UID 5 FLAGS ())\r\nA1 OK\r\n'])
    assert (mail.uid, mail.flags, mail.raw) == (5, (), b"UID 99 FLAGS (\\Deleted)")


def test_odd_dates_and_labels_are_no_reason_to_stop() -> None:
    before = b'INTERNALDATE "99-Foo-2020 99:99:99 +9999" X-GM-LABELS ("UID 77" "&bad" "&AAAAAA") '
    (mail,), _ = read([response(1, b"x", before), b"A1 OK\r\n"])
    assert (mail.uid, mail.internal_date, len(mail.labels)) == (101, 0.0, 3)


def test_a_mail_under_a_number_longer_than_any_uid_is_not_passed_over_in_silence() -> None:
    with pytest.raises(ProtocolError, match="UID"):
        read([b"* 1 FETCH (UID " + b"9" * 5000 + b" BODY[] {1}\r\nx)\r\nA1 OK\r\n"])
