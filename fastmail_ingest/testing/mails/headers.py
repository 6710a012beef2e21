"""Damage to header lines: those a parser believes, repeats, folds, measures."""

from random import Random

from fastmail_ingest.testing.mails.damage import Damage

_NAMES = (
    b"Subject", b"From", b"To", b"Cc", b"Reply-To", b"Date", b"Message-ID", b"References", b"Content-Type", b"Auto-Submitted",
    b"Content-Transfer-Encoding", b"Content-Disposition", b"Content-ID", b"MIME-Version", b"X-Odd", b"Return-Path", b"In-Reply-To",
)  # fmt: skip
_DATES = (
    b"yesterday", b"", b"Thu, 32 Foo 99999 25:61:61 +9999", b"1 Jan 1 00:00:00 GMT", b"Sat, 31 Dec 9999 23:59:59 -2359", b"0",
    b"Fri, 24 Nov 26 1:2 EST (comment (nested))", b"-1 Jan 2020", b"Mon, 1 Jan 2024 00:00:00 +" + b"9" * 400, b"\xff", b"2024-02-30T00:00:00Z",
    b"Tue, 24 Nov 2026 10:00:60 +0000", b"1 Jan 0000 00:00:00 +0000", b"," * 50,
)  # fmt: skip
_ADDRESSES = (
    b"", b"<>", b"<<<>>>", b"@", b"a@", b"@b", b"a@@b", b"group:;", b"group: a@b, c@d", b'"unclosed <a@b>', b"a@b (comment (in (it)",
    b"<@r1,@r2:a@b>", b"a b c <a@b> d <e@f>", b'"\\', b",,,;;;", b"a@[127.0.0.1", b"a@b\x00c", b"x" * 5000 + b"@y", b"\xff@\xfe",
    b"=?utf-8?q?a@b=3E=2C_c?= <d@e>", b"undisclosed-recipients:;", b"a@" + b"b." * 500 + b"c", b"(" * 300, b"a <" * 100, "ö@ü.example".encode(),
)  # fmt: skip
_FILENAMES = (
    b'filename="../../etc/passwd"', b'filename="a\x00b"', b'filename="a\r\n b"', b"filename", b"filename=", b'filename="', b"filename*=",
    b"filename*=x'y", b"filename*=nope'en'%ff", b"filename*0=a; filename*2=b", b"filename*99999999999999999999=a", b"filename*-1=a",
    b"filename*0*=utf-8''%e2; filename*1*=%82%ac", b"filename*0=a; filename*0=b; filename=c", b"filename*=utf-8''%", b'filename="' + b"n" * 3000 + b'"',
    b'filename="=?utf-8?b?4oKs?=.exe"', "filename=\u202egpj.exe".encode(), b";" * 200, b"=;=;=",
)  # fmt: skip
_LINES = (
    b"no colon here", b": no name", b"Name with blanks : x", b"", b" ", b"\t", b"\xc3\xa4: x", b"From x@y Thu Jan  1 00:00:00 1970",
    b">From me", b"begin 644 x", b".", b"--", b"X" * 1200 + b": y", b"\x00: \x00",
)  # fmt: skip


def repeat_header(raw: bytes, draw: Random) -> bytes:
    """A header that there must be once (RFC 5322 3.6) comes often, each time with something else."""
    name = draw.choice(_NAMES)
    lines = (name + b": " + draw.randbytes(4).hex().encode() + b"\r\n" for _ in range(draw.randint(1, 50)))
    return _with_lines(raw, draw, b"".join(lines))


def drop_header(raw: bytes, draw: Random) -> bytes:
    """A line of the head is missing; if it was folded, only its first."""
    head, rest = _split(raw)
    lines = head.split(b"\r\n")
    del lines[draw.randrange(len(lines))]
    return b"\r\n".join(lines) + rest


def odd_line(raw: bytes, draw: Random) -> bytes:
    """A line in the head that is no header."""
    return _with_lines(raw, draw, draw.choice(_LINES) + b"\r\n")


def odd_date(raw: bytes, draw: Random) -> bytes:
    """A date that nobody can read, or that is not one."""
    return b"Date: " + draw.choice(_DATES) + b"\r\n" + raw


def odd_addresses(raw: bytes, draw: Random) -> bytes:
    """Addresses against all of RFC 5322 3.4."""
    many = b", ".join(draw.choice(_ADDRESSES) for _ in range(draw.choice((1, 1, 2, 30))))
    return draw.choice((b"From: ", b"To: ", b"Cc: ", b"Reply-To: ", b"Sender: ")) + many + b"\r\n" + raw


def odd_filename(raw: bytes, draw: Random) -> bytes:
    """Parameters against RFC 2231, paths, names that hide what they are."""
    value = draw.choice((b"attachment", b"inline", b"", b"\xff", b"attachment inline")) + b"; "
    line = b"Content-Disposition: " + value + draw.choice(_FILENAMES) + b"\r\n"
    mark = b"Content-Transfer-Encoding:"
    return raw.replace(mark, line + mark, 1) if draw.random() < 0.5 and mark in raw else line + raw


def odd_type(raw: bytes, draw: Random) -> bytes:
    """A second Content-Type before the first: boundaries without end, empty, with quotes or blanks."""
    boundary = draw.choice(
        (
            b"",
            b'""',
            b'"',
            b"-",
            b"--",
            b" ",
            b'"a\r\n b"',
            b"b" * 2000,
            b"\x00",
            b'"\\"',
            b"=?utf-8?q?b?=",
            b"b*0=x",
        )
    )
    kind = draw.choice(
        (b"multipart/mixed", b"multipart/alternative", b"multipart/signed", b"text/html", b"multipart/report")
    )
    return b"Content-Type: " + kind + b"; boundary=" + boundary + b"\r\n" + raw  # fmt: skip


def eight_bit_header(raw: bytes, draw: Random) -> bytes:
    """Bytes above 127 in a header, of no charset that would be named."""
    return (
        draw.choice(_NAMES) + b": " + draw.randbytes(draw.randint(1, 60)).replace(b"\n", b"") + b"\r\n" + raw
    )


def odd_folding(raw: bytes, draw: Random) -> bytes:
    """Continuation lines of nothing but white space, as the first line, or thousands of them."""
    fold = draw.choice((b" \r\n", b"\t\r\n", b"\r\n ", b" x\r\n", b" \t \r\n", b"\n ", b"\r "))
    line = draw.choice((b"", b"Subject: x\r\n", b"Content-Type: text/plain;\r\n"))
    return line + fold * draw.choice((1, 3, 500)) + raw


def long_line(raw: bytes, draw: Random) -> bytes:
    """A line that is longer than any line may be (RFC 5322 2.1.1), in head or body."""
    length = draw.choice((999, 5000, 20_000, 70_000))
    if draw.random() < 0.5:
        return draw.choice(_NAMES) + b": " + b"long " * (length // 5) + b"\r\n" + raw
    return raw + b"x" * length


def mbox_line(raw: bytes, _draw: Random) -> bytes:
    """The line that an mbox puts before each mail."""
    return b"From x@example.org Thu Jan  1 00:00:00 1970\r\n" + raw


def _split(raw: bytes) -> tuple[bytes, bytes]:
    end = raw.find(b"\r\n\r\n")
    return (raw, b"") if end < 0 else (raw[:end], raw[end:])


def _with_lines(raw: bytes, draw: Random, new: bytes) -> bytes:
    """Put lines between two lines of the head, be they one header's or not."""
    head, _ = _split(raw)
    starts = [0, *(at + 2 for at in range(len(head)) if head.startswith(b"\r\n", at))]
    at = draw.choice(starts)
    return raw[:at] + new + raw[at:]


HEADER_DAMAGES: tuple[Damage, ...] = (
    repeat_header, drop_header, odd_line, odd_date, odd_addresses, odd_filename, odd_type, eight_bit_header, odd_folding, long_line,
    mbox_line,
)  # fmt: skip
