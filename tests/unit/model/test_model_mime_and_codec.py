"""A mail of any quality is read; an entry that is not ours is refused, and neither crashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.errors import UndecodableEntry
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.identity import content_hash, identify
from fastmail_ingest.model.mime import Mail
from fastmail_ingest.model.mime.bounds import HEADER_BYTES_MAX


def envelope(raw: bytes = b"", **changes: object) -> codec.Envelope:
    fields = {
        "version": codec.CODEC_VERSION, "id": "a:INBOX:1:2", "account": "a", "mailbox": "INBOX", "uid_validity": 1,
        "uid": 2, "flags": ("\\Seen",), "labels": (), "thread_id": "", "internal_date": 1.5e9, "size": len(raw),
        "content_hash": content_hash(raw), "fetched_at": 1.6e9, "trace_id": "0" * 32, "raw": raw,
    }  # fmt: skip
    return codec.Envelope(**{**fields, **changes})  # type: ignore[arg-type]


@given(st.binary(max_size=2000), st.text(max_size=50), st.integers(0, 2**32 - 1))
def test_what_is_encoded_comes_back(raw: bytes, mailbox: str, uid: int) -> None:
    sent = envelope(raw, mailbox=mailbox, uid=uid)
    assert codec.decode(codec.encode(sent)) == sent


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(UndecodableEntry):
        codec.decode(payload)


def test_every_truncation_is_refused() -> None:
    whole = codec.encode(envelope(b"Subject: x\r\n\r\nbody"))
    for length in range(len(whole)):
        with pytest.raises(UndecodableEntry):
            codec.decode(whole[:length])


def test_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(UndecodableEntry, match=r"version 3, .* upgrade"):
        codec.decode(codec.encode(envelope(version=3)))


HOSTILE = {
    "empty": b"",
    "no header": b"hello\r\nworld",
    "only a header": b"Subject: x",
    "NUL": b"Subject: a\x00b\r\nFrom: x@y\r\n\r\nhi\x00there",
    "8 bit headers": b"Subject: caf\xe9\r\nFrom: J\xf6rg <x@y>\r\n\r\ncaf\xe9",
    "many headers": b"X: y\r\n" * 100_000 + b"\r\nhi",
    "a long header": b"Subject: " + b"a" * 5_000_000 + b"\r\n\r\nhi",
    "encoded words": b"Subject: " + b"=?utf-8?q?=41?= " * 50_000 + b"\r\n\r\nx",
    "parts without end": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 20_000,
    "bad base64": b"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!notbase64===",
    "bad charset": b"Subject: =?nope?Q?abc?=\r\nContent-Type: text/plain; charset=nope\r\n\r\n\xff\xfeabc",
    "bad addresses": b"From: <<<>>>,,,;;;@@@\r\nTo: undisclosed-recipients:;\r\nDate: yesterday\r\n\r\nx",
    "parentheses": b"From: " + b"(" * 100_000 + b"\r\n\r\nx",
}


def nested(depth: int) -> bytes:
    mail = b"hi"
    for level in range(depth):
        head = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        mail = head + mail + b"\r\n--b%d--\r\n" % level
    return mail


@pytest.mark.parametrize("raw", [*HOSTILE.values(), nested(300)], ids=[*HOSTILE, "nested"])
def test_hostile_mails_are_read_without_an_exception(raw: bytes) -> None:
    mail = Mail(raw)
    assert isinstance(mail.head.subject, str)
    assert isinstance(mail.text, str)
    for attachment in mail.attachments:
        assert isinstance(attachment.content(), bytes)


def test_damage_is_a_defect() -> None:
    assert Mail(HOSTILE["a long header"]).defects[0].startswith("headers: 5000011 bytes")
    assert "more than 40 containers" in Mail(nested(600)).defects[0]
    assert "Base64" in Mail(HOSTILE["bad base64"]).defects[0]
    assert len(Mail(HOSTILE["encoded words"]).head.subject) < HEADER_BYTES_MAX


@given(st.binary(max_size=500))
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    assert isinstance(Mail(raw).head.subject, str)


@given(
    st.lists(st.sampled_from([b"From: ", b"Subject: ", b"=?utf-8?b?", b"?=", b"\r\n", b"\r\n\r\n", b"--b", b"<", b">",
                              b"Content-Type: multipart/mixed; boundary=b", b"\xff", b"(", b'"', b"@", b";", b"\x00"]))
)  # fmt: skip
def test_pieces_of_mails_in_any_order_are_a_mail(pieces: list[bytes]) -> None:
    mail = Mail(b"".join(pieces))
    assert isinstance(mail.defects, list)


def test_an_email_says_what_is_in_it() -> None:
    raw = (
        b"From: =?utf-8?b?SsO2cmc=?= <joerg@example.org>\r\nTo: a@b.c, D <d@e.f>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Message-ID: <1@x>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nX-Own: 1\r\nX-own: 2\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n"
    )
    email = Email(envelope(raw), attempt=2)
    assert (email.sender, email.sender_name, email.subject) == ("joerg@example.org", "Jörg", "Grüße")
    assert [address.address for address in email.to] == ["a@b.c", "d@e.f"]
    assert email.text.strip() == "hello"
    assert (email.message_id, email.header("x-OWN"), email.header("none", "-")) == ("1@x", "1", "-")
    (attachment,) = email.attachments
    assert (attachment.filename, attachment.content()) == ("a.pdf", b"%PDF")
    assert (email.attempt, email.date.year, email.defects) == (2, 2026, [])
    assert email.internal_date.timestamp() == 1.5e9


def test_nothing_is_parsed_before_it_is_asked_for() -> None:
    email = Email(envelope(b"Subject: x\r\n\r\n"))
    assert (email.id, email.flags, email.raw) == ("a:INBOX:1:2", ("\\Seen",), b"Subject: x\r\n\r\n")
    assert email._parsed is None


def test_identities_of_different_mails_differ() -> None:
    names = {
        identify("a", "INBOX", 1, 2), identify("a", "INBOX", 12, 2), identify("a", "INBOX:1", 2, 2),
        identify("a", "gm", 1, 2), identify("a", "x", 1, 2, gm_msgid="2"), identify("a", "x", 1, 2, email_id="2"),
        identify("b", "INBOX", 1, 2),
    }  # fmt: skip
    assert len(names) == 7
