"""The kinds of mails that a real mailbox holds, each a function: random source and size in, draft out."""

import base64
import io
import quopri
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import TypeAlias

import msgspec

from fastmail_ingest.simulator.phrases import (
    EMOJI,
    ENGLISH,
    FRENCH,
    GERMAN,
    JAPANESE,
    LANGUAGES,
    PEOPLE,
    Address,
    Language,
    paragraph_lines,
)


class Draft(msgspec.Struct):
    """A mail without what differs from mail to mail; `{number}` in a header becomes the mail's number."""

    sender: Address
    subject: bytes
    content: bytes
    body: bytes
    extra: bytes = b""
    omit: frozenset[str] = frozenset()


Kind: TypeAlias = Callable[[Random, int], Draft]
"""Drafts a mail whose body has about this size in bytes, or its least possible size if that is more."""

_PLAIN = b'Content-Type: text/plain; charset="us-ascii"\r\nContent-Transfer-Encoding: 7bit\r\n'
_LINE_WIDTH = 76
_RAW_PER_BASE64_LINE = 57
_BYTES_PER_REPORT_ROW = 10  # zipped, in base64


def encoded_word(text: str, charset: str) -> bytes:
    """A base64 encoded-word (RFC 2047) as a header value."""
    return b"=?%s?B?%s?=" % (charset.encode(), base64.b64encode(text.encode(charset)))


def padding(size: int) -> bytes:
    """Dotted lines of exactly `size` bytes in all: what brings a body to its size."""
    full, rest = divmod(size, _LINE_WIDTH)
    lines = (b"." * (_LINE_WIDTH - 2) + b"\r\n") * full
    return lines + (b"." * (rest - 2) + b"\r\n" if rest > 2 else b"." * rest)


def text_of(rng: Random, size: int, encode: Callable[[str], bytes], language: Language = ENGLISH) -> bytes:
    """Sentences, encoded line by line, of exactly `size` bytes (0 or more)."""
    out: list[bytes] = []
    left = size
    for line in _endless_lines(rng, language):
        raw = encode(line) + b"\r\n"
        if len(raw) > left:
            break
        out.append(raw)
        left -= len(raw)
    return b"".join(out) + padding(max(0, left))


def _endless_lines(rng: Random, language: Language) -> Iterator[str]:
    while True:
        yield from paragraph_lines(rng, language)


def base64_lines(raw: bytes) -> bytes:
    """Base64 in lines of 76 characters that end with CRLF."""
    return base64.encodebytes(raw).replace(b"\n", b"\r\n")


def quoted_printable(charset: str) -> Callable[[str], bytes]:
    """An encoder of single lines."""
    return lambda line: quopri.encodestring(line.encode(charset)).replace(b"\n", b"\r\n")


def multipart(rng: Random, subtype: bytes, parts: list[bytes]) -> tuple[bytes, bytes]:
    """The content headers and the body of a multipart."""
    boundary = b"=_%016x" % rng.getrandbits(64)
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary
    return b'Content-Type: multipart/%s; boundary="%s"\r\n' % (subtype, boundary), body


def _part(headers: bytes, body: bytes) -> bytes:
    return headers + b"\r\n" + body


def _subject(rng: Random, language: Language = ENGLISH) -> bytes:
    text = rng.choice(language.subjects)
    return (text.encode() if text.isascii() else encoded_word(text, language.charset)) + b" #{number}"


def _draft(rng: Random, language: Language = ENGLISH) -> Draft:
    """Sender and subject; drawn before the body, so that the head is the same whatever the body's size."""
    return Draft(rng.choice(PEOPLE), _subject(rng, language), _PLAIN, b"")


def plain(rng: Random, size: int) -> Draft:
    """Text in ASCII."""
    draft = _draft(rng)
    draft.body = text_of(rng, size, str.encode)
    return draft


def html(rng: Random, size: int) -> Draft:
    """Text with an HTML alternative, both in quoted-printable."""
    language = rng.choice(LANGUAGES)
    draft = _draft(rng, language)
    encode = quoted_printable("utf-8")
    head = b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
    left = max(0, size - 460)
    text = text_of(rng, left // 4, encode, language)
    rich = text_of(rng, left - left // 4, lambda line: b"<p>" + encode(line) + b"</p>", language)
    page = b"<!DOCTYPE html>\r\n<html><body>\r\n%s</body></html>\r\n" % rich
    parts = [_part(head % b"plain", text), _part(head % b"html", page)]
    draft.content, draft.body = multipart(rng, b"alternative", parts)
    return draft


def attachment(rng: Random, size: int) -> Draft:
    """A few words, and a file in base64 with an encoded file name."""
    draft = _draft(rng)
    name = encoded_word("Rechnung März.pdf", "utf-8")
    head = (
        b'Content-Type: application/pdf; name="%s"\r\nContent-Transfer-Encoding: base64\r\n'
        b"Content-Disposition: attachment; filename*=utf-8''Rechnung%%20M%%C3%%A4rz.pdf\r\n" % name
    )
    raw = b"%PDF-1.7\n" + rng.randbytes(max(0, size - 700) * _RAW_PER_BASE64_LINE // (_LINE_WIDTH + 2))
    words = _part(_PLAIN, text_of(rng, 200, str.encode))
    draft.content, draft.body = multipart(rng, b"mixed", [words, _part(head, base64_lines(raw))])
    return draft


def _in_charset(language: Language, transfer: bytes) -> Kind:
    """Text of one language in its legacy charset, as it is (7bit, 8bit) or in quoted-printable."""

    def kind(rng: Random, size: int) -> Draft:
        draft = _draft(rng, language)
        encoders = {b"quoted-printable": quoted_printable(language.charset)}
        encode = encoders.get(transfer, lambda line: line.encode(language.charset))
        draft.content = b"Content-Type: text/plain; charset=%s\r\n" % language.charset.encode()
        draft.content += b"Content-Transfer-Encoding: %s\r\n" % transfer
        draft.body = text_of(rng, size, encode, language)
        return draft

    return kind


def nested(rng: Random, size: int) -> Draft:
    """A forwarded mail as message/rfc822."""
    draft = _draft(rng)
    draft.subject = b"Fwd: " + draft.subject
    inner = b"From: Marie <marie@example.org>\r\nTo: anna@example.com\r\nSubject: The original\r\n"
    inner += b"Message-ID: <original.%d@example.org>\r\n" % rng.getrandbits(32)
    inner += b"\r\n" + text_of(rng, max(0, size - 550), str.encode)
    forwarded = _part(b"Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n", inner)
    draft.content, draft.body = multipart(rng, b"mixed", [_part(_PLAIN, b"See below.\r\n"), forwarded])
    return draft


def bounce(rng: Random, size: int) -> Draft:
    """A delivery status notification (RFC 3464)."""
    report = (
        b"Reporting-MTA: dns; mx.example.net\r\n\r\nFinal-Recipient: rfc822; nobody@example.org\r\n"
        b"Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
    )
    parts = [
        _part(_PLAIN, b"Your message could not be delivered.\r\n" + text_of(rng, size - 900, str.encode)),
        _part(b"Content-Type: message/delivery-status\r\n", report),
        _part(b"Content-Type: text/rfc822-headers\r\n", b"Subject: Hello\r\nMessage-ID: <a@example.com>\r\n"),
    ]
    content, body = multipart(rng, b"report; report-type=delivery-status", parts)
    extra = b"Auto-Submitted: auto-replied\r\nReturn-Path: <>\r\n"
    sender = ("Mail Delivery System", "mailer-daemon@mx.example.net")
    subject = b"Undelivered Mail Returned to Sender ({number})"
    return Draft(sender, subject, content, body, extra, frozenset({"Return-Path"}))


def dmarc_report(rng: Random, size: int) -> Draft:
    """A DMARC aggregate report: XML in a zip file, which is the whole body."""
    record = "<record><row><source_ip>192.0.2.{}</source_ip><count>{}</count></row></record>\n"
    count = max(1, (size - 450) // _BYTES_PER_REPORT_ROW)
    rows = [record.format(rng.randrange(256), rng.randrange(10**6)) for _ in range(count)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        report = zipfile.ZipInfo("example.net!example.com!1735689600!1735776000.xml")  # always dated 1980
        xml = "<?xml version='1.0'?>\n<feedback>\n" + "".join(rows) + "</feedback>\n"
        archive.writestr(report, xml, zipfile.ZIP_DEFLATED)
    content = (
        b'Content-Type: application/zip; name="report.zip"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="report.zip"\r\n'
    )
    subject = b"Report Domain: example.com Submitter: example.net Report-ID: {number}"
    return Draft(("", "dmarc@example.net"), subject, content, base64_lines(packed.getvalue()))


def missing_headers(rng: Random, size: int) -> Draft:
    """Neither Subject nor Date nor Message-ID nor content headers."""
    omit = frozenset({"Subject", "Date", "Message-ID", "To", "MIME-Version"})
    return Draft(PEOPLE[0], b"", b"", text_of(rng, size, str.encode), omit=omit)


def odd_lines(rng: Random, size: int) -> Draft:
    """Legal but seldom: folded headers with tabs, lines of white space, a form feed, no last line end."""
    draft = _draft(rng)
    draft.subject += b"\r\n  and more"
    draft.extra = (
        b"X-Folded: one\r\n\ttwo\r\n   three\r\nX-Empty:\r\nx-lower-case:no space after the colon\r\n"
    )
    opening = b"\r\n \r\n\t\r\n\x0c\r\n.\r\n..\r\n"
    draft.body = opening + text_of(rng, max(0, size - 60), str.encode) + b"\r\n\r\n-- \r\nthe end"
    return draft


def long_references(rng: Random, size: int) -> Draft:
    """The answer at the end of a long thread."""
    draft = _draft(rng)
    draft.subject = b"Re: Re: AW: " + draft.subject
    ids = [b"<%016x@mail.example.com>" % rng.getrandbits(64) for _ in range(80)]
    draft.extra = b"In-Reply-To: %s\r\nReferences: %s\r\n" % (ids[-1], b"\r\n ".join(ids))
    draft.body = text_of(rng, size, lambda line: b"> " + line.encode())
    return draft


def empty_body(rng: Random, _size: int) -> Draft:
    """All is said in the subject."""
    draft = _draft(rng)
    draft.subject += b" (eom)"
    return draft


def eight_bit_headers(rng: Random, size: int) -> Draft:
    """Raw Latin-1 in Subject and From: forbidden, and seen every day."""
    subject = rng.choice(GERMAN.subjects).encode("iso-8859-1") + b" {number}"
    content = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n"
    body = text_of(rng, size, lambda line: line.encode("iso-8859-1"), GERMAN)
    return Draft(("Jörg Müller", "joerg@example.net"), subject, content, body)


KINDS: dict[str, Kind] = {
    "plain": plain,
    "html": html,
    "attachment": attachment,
    "quoted_printable": _in_charset(GERMAN, b"quoted-printable"),
    "latin_1": _in_charset(GERMAN, b"8bit"),
    "windows_1252": _in_charset(FRENCH, b"8bit"),
    "iso_2022_jp": _in_charset(JAPANESE, b"7bit"),
    "emoji": _in_charset(EMOJI, b"8bit"),
    "nested": nested,
    "bounce": bounce,
    "dmarc_report": dmarc_report,
    "missing_headers": missing_headers,
    "odd_lines": odd_lines,
    "long_references": long_references,
    "empty_body": empty_body,
    "eight_bit_headers": eight_bit_headers,
}
SMALL_KINDS = tuple(KINDS.values())
LARGE_KINDS = (html, attachment, attachment)
