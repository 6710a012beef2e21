"""FETCH answers that honest servers rarely send: none may confuse one mail with another or stop the rest."""

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmail_ingest.errors import FastmailIngestError
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.wire import Wire

OK = b"A1 OK done\r\n"
BODY = b" BODY[] {1}\r\nx)\r\n"


def read(*pieces: bytes, max_mail: int = 1 << 20) -> list[Fetched]:
    """Feed these pieces one by one, then the end of the connection."""
    ours, theirs = socket.socketpair()

    def feed() -> None:
        with theirs:
            try:
                for piece in pieces:
                    theirs.sendall(piece)
            except OSError:
                return  # the reader has seen enough

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        return list(read_fetch(Wire(ours), b"A1", max_mail, lambda line: None))
    finally:
        ours.close()
        feeder.join()


def answer(uid: int, raw: bytes) -> bytes:
    return b"* 1 FETCH (UID %d BODY[] {%d}\r\n%s)\r\n" % (uid, len(raw), raw)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 50), st.integers(0, 200))
def test_any_mails_in_any_pieces_below_or_above_the_limit(mails: list[bytes], step: int, limit: int) -> None:
    whole = b"".join(answer(uid, raw) for uid, raw in enumerate(mails, 1)) + OK
    fetched = read(*(whole[at : at + step] for at in range(0, len(whole), step)), max_mail=limit)
    assert [(mail.uid, mail.size, mail.raw) for mail in fetched] == [
        (uid, len(raw), raw[:limit]) for uid, raw in enumerate(mails, 1)
    ]
    assert [mail.truncated for mail in fetched] == [len(raw) > limit for raw in mails]


def test_mails_come_out_of_order_and_twice_as_they_were_sent() -> None:
    assert [mail.uid for mail in read(answer(9, b"a"), answer(2, b"b"), answer(9, b"a"), OK)] == [9, 2, 9]


@pytest.mark.parametrize(
    "line",
    [
        b"* 1 fetch (uid 5 body[] {1}\r\nx)\r\n", b"* 1 FETCH (UID 5 BODY[] {1+}\r\nx)\r\n",
        b"* 1 FETCH (BODY[] {1}\r\nx UID 5)\r\n", b'* 1 FETCH (BODY[] "x" UID 5)\r\n',
        b"* 1 FETCH (UID 5 BODY[]<0> {1}\r\nx)\r\n", b"* 1 FETCH (UID 5 BODY[HEADER] {1}\r\nx)\r\n",
    ],
)  # fmt: skip
def test_ways_to_spell_the_same_mail(line: bytes) -> None:
    assert [(mail.uid, mail.raw) for mail in read(line, OK)] == [(5, b"x")]


@pytest.mark.parametrize(
    ("sent", "labels"),
    [
        (b"()", ()), (b"(\\Important)", ("\\Important",)), (b'("a(b)" "[c]")', ("a(b)", "[c]")),
        (b'("a\\\\b")', ("a\\b",)), (b'("")', ("",)), (b"({0}\r\n)", ("",)),
        (b'({5}\r\na"b\\c)', ('a"b\\c',)), (b'("&-")', ("&",)), (b'("Gr&APw-n")', ("Grün",)),
    ],
)  # fmt: skip
def test_labels(sent: bytes, labels: tuple[str, ...]) -> None:
    (mail,) = read(b"* 1 FETCH (UID 5 X-GM-LABELS " + sent + BODY, OK)
    assert mail.labels == labels


@pytest.mark.parametrize(
    "date", [b"00-Jan-2020 00:00:00 +0000", b"30-Feb-2020 00:00:00 +0000", b"01-Foo-2020 00:00:00 +0000",
             b"01-Jan-2020 25:00:00 +0000", b"01-Jan-0000 00:00:00 +0000", b"01-Jan-2020 00:00:00 +2400",
             b"01-Jan-2020 00:00:00 -9999"]
)  # fmt: skip
def test_a_date_of_no_calendar_does_not_stop_the_mail(date: bytes) -> None:
    (mail,) = read(b'* 1 FETCH (UID 5 INTERNALDATE "' + date + b'"' + BODY, OK)
    assert (mail.raw, mail.internal_date) == (b"x", 0.0)


@pytest.mark.parametrize("label", [b"a&b", b"&!!-", b"&A-", b"&2AA-", b"\xff"])
def test_a_label_that_cannot_be_decoded_does_not_stop_the_mail(label: bytes) -> None:
    (mail,) = read(b'* 1 FETCH (UID 5 X-GM-LABELS ("' + label + b'")' + BODY, OK)
    assert mail.raw == b"x"
    assert mail.labels[0].encode()  # whole characters: the codec takes no halves


def test_a_label_is_no_value_of_the_mail() -> None:
    label = b'("UID 99 X-GM-MSGID 77 FLAGS (spoofed)")'
    (mail,) = read(b"* 1 FETCH (X-GM-LABELS " + label + b" X-GM-MSGID 8 UID 5 FLAGS (own)" + BODY, OK)
    assert (mail.uid, mail.gm_msgid, mail.flags) == (5, "8", ("own",))


def test_the_text_of_a_mail_is_no_value_of_the_mail() -> None:
    (mail,) = read(b'* 1 FETCH (BODY[] "UID 99 X-GM-MSGID 7 EMAILID (M1)" UID 5)\r\n', OK)
    assert (mail.uid, mail.gm_msgid, mail.email_id) == (5, "", "")


@given(st.binary(max_size=200))
def test_noise_ends_in_an_error_of_ours(noise: bytes) -> None:
    with pytest.raises(FastmailIngestError):
        read(noise)
