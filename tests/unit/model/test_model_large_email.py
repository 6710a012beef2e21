"""`Email` of a large mail: nothing is read before it is asked for."""

import io
from typing import BinaryIO

import pytest

from fastmail_ingest.errors import BlobUnavailable
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline.opening import open_mail

RAW = b"From: a@example.org\r\nSubject: big\r\n\r\n" + b"line\r\n" * 50_000


class Blobs:
    def __init__(self, content: bytes | None = RAW) -> None:
        self.content, self.opened = content, 0

    def open(self, name: str) -> BinaryIO:
        assert name == "there"
        self.opened += 1
        if self.content is None:
            raise BlobUnavailable("not there")
        return io.BytesIO(self.content)


def envelope(blob: str = "there", raw: bytes = RAW[:100]) -> codec.Envelope:
    return codec.Envelope(
        codec.BLOB_VERSION if blob else codec.CODEC_VERSION, "a:INBOX:7:1", "a", "INBOX", 7, 1, ("\\Seen",), (), "t", 1.5, len(RAW),
        b"h" * 16, 2.5, "0" * 32, raw, False, blob,
    )  # fmt: skip


def test_what_the_server_said_needs_no_blob() -> None:
    email = Email(envelope(), blobs=(blobs := Blobs()))
    assert (email.id, email.size, email.flags, email.content_hash) == (
        "a:INBOX:7:1",
        len(RAW),
        ("\\Seen",),
        (b"h" * 16).hex(),
    )
    assert repr(email)
    assert blobs.opened == 0


def test_the_bytes_and_what_mime_says_come_from_the_blob() -> None:
    email = Email(envelope(), blobs=(blobs := Blobs()))
    assert email.raw == RAW
    assert email.subject == "big"
    assert email.text.count("line") == 50_000
    assert blobs.opened == 2  # once for raw, once for all of MIME


def test_a_large_mail_can_be_read_in_pieces() -> None:
    with Email(envelope(), blobs=Blobs()).open() as file:
        assert file.read(20) == RAW[:20]
        assert file.read() == RAW[20:]


def test_a_small_mail_opens_in_the_same_way() -> None:
    with Email(envelope("", RAW)).open() as file:
        assert file.read() == RAW


def test_without_the_blobs_its_beginning_can_be_seen() -> None:
    assert Email(envelope()).subject == "big"
    assert Email(envelope()).raw == RAW[:100]


def test_a_blob_that_is_not_there_is_the_error_of_who_reads_it() -> None:
    email = Email(envelope(), blobs=Blobs(None))
    for read in (lambda: email.raw, lambda: email.subject, email.open):
        with pytest.raises(BlobUnavailable):
            read()
    assert email.size == len(RAW)


def test_a_worker_opens_the_entry_and_not_the_blob() -> None:
    blobs, settlement = Blobs(None), Settlement()
    entry = Entry(Lane.LIVE, b"1-1", codec.encode(envelope()))
    assert open_mail(entry, settlement, blobs) is not None
    assert entry.blob == "there"
    assert (blobs.opened, len(settlement)) == (0, 0)


def test_an_entry_of_the_time_before_blobs_is_a_small_mail() -> None:
    old = codec.encode(envelope("", RAW))
    assert old[:3] == b"\xdc\x00\x12"  # msgpack: an array of 18 values
    assert codec.decode(b"\xdc\x00\x10" + old[3:-2]).blob == ""


def test_a_reader_that_knows_no_blobs_refuses_the_entry() -> None:
    assert envelope().version != envelope("").version == codec.CODEC_VERSION == 1
    assert codec.decode(codec.encode(envelope())).blob == "there"
