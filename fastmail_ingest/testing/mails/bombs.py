"""Mails that are small to send and dear to read: depth, number, repetition, quadratic time."""

from random import Random

from fastmail_ingest.testing.mails.damage import Damage

_HEAD = b"From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
_MANY = (100, 1000, 10_000)
_DEEP = (20, 101, 300, 1100, 5000)


def encoded_words(raw: bytes, draw: Random) -> bytes:
    """One header of nothing but encoded-words: some decoders take time quadratic in their number."""
    word = draw.choice(
        (
            b"=?utf-8?q?=41?= ",
            b"=?a?b?QQ==?= ",
            b"=?utf-8?b?4oKs?=",
            b"=?iso-2022-jp?b?GyRC?= ",
            b"=?",
            b"=?=?",
        )
    )
    name = draw.choice((b"Subject: ", b"From: ", b"To: ", b"X-A: "))  # fmt: skip
    return name + word * draw.choice((*_MANY, 20_000)) + b"\r\n" + raw


def parameters(_raw: bytes, draw: Random) -> bytes:
    """A Content-Type of nothing but parameters, of a leaf or of a part."""
    count = draw.choice(_MANY)
    kinds = (
        b"; a=b" * count,
        b'; a="' + rb"\"; " * count + b'"',
        b"".join(b"; name*%d=x" % number for number in range(count)),
        b"".join(b"; name*%d*=%%e2" % number for number in reversed(range(count))),
        b";" * count,
        b'; a="' * count,
        b"; a*0*=utf-8''x" * count,
        b"; boundary=b" * count,
    )
    line = b"Content-Type: text/plain" + draw.choice(kinds) + b"\r\n"
    if draw.random() < 0.5:
        return _HEAD + line + b"\r\nx\r\n"
    wrong = b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n"
    return _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + line + wrong + b"--b--\r\n"


def nested(raw: bytes, draw: Random) -> bytes:
    """Multiparts in multiparts, each with a boundary of its own, all with the same, or each the beginning of the next."""
    way, depth = draw.randrange(3), draw.choice(_DEEP)
    head, tail = [], []
    for level in range(min(depth, 700) if way == 2 else depth):  # quadratic in size
        mark = (b"b%d" % level, b"b", b"b" * (level + 1))[way]
        head.append(b"Content-Type: multipart/mixed; boundary=" + mark + b"\r\n\r\n--" + mark + b"\r\n")
        tail.append(b"\r\n--" + mark + b"--")
    closed = b"".join(reversed(tail)) if draw.random() < 0.5 else b""
    return _HEAD + b"".join(head) + raw + closed


def messages(raw: bytes, draw: Random) -> bytes:
    """Messages in messages."""
    return b"Content-Type: message/rfc822\r\n\r\n" * draw.choice(_DEEP) + raw


def many_parts(_raw: bytes, draw: Random) -> bytes:
    """Parts without end: empty, with text, damaged, or only the lines between them."""
    part = draw.choice(
        (
            b"\r\n",
            b"\r\n\r\nx\r\n",
            b"\r\n",
            b"\r\nContent-Type: text/html\r\n\r\n<p>x\r\n",
            b"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n",
            b"\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n",
            b"\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n",
            b"--\r\n",
            b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        )
    )
    end = b"--b--\r\n" * draw.randint(0, 3)
    kind = draw.choice((b"mixed", b"alternative", b"digest", b"related", b"report"))
    head = _HEAD + b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n"
    return head + (b"--b" + part) * draw.choice((*_MANY, 5000)) + end


def many_headers(raw: bytes, draw: Random) -> bytes:
    """Header lines without end, of one name or of thousands; addresses without end."""
    count = draw.choice((500, 5000, 20_000))
    kinds = (
        b"X: y\r\n" * count,
        b"".join(b"X-%d: y\r\n" % number for number in range(count)),
        b"Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n" * (count // 10),
        b"To: " + b"a <a@example.org>, " * (count // 4) + b"\r\n",
        b"From: " + draw.choice((b"(", b'"', b"<", b"a@b,", b"g:", b"\\", b"[")) * count + b"\r\n",
        b"References: " + b"<1@x> " * count + b"\r\n",
        b"Subject: x\r\n" + b" y\r\n" * count,
    )
    return draw.choice(kinds) + raw


def endless_page(_raw: bytes, draw: Random) -> bytes:
    """HTML that costs: depth, tags that never close, references to no character, scripts and comments to the end."""
    count = draw.choice((100, 5000, 30_000))
    pieces = (
        b"<div>", b"<p", b"<", b"<!--", b"&#x110000;&#xD800;&#0;", b"&", b"<table><tr><td>", b"<a href=\"", b"<script>", b"</div>",
        b"<![CDATA[", b"<style>", b"<b><i></b>", b"<img src=x alt='y'>", b"&amp;amp;", b"<!DOCTYPE ", b"<?", b"\x00", b"<svg><math>",
        b"<blockquote>", b"<li>", b"=3D", b" ", b"\n", b"&#99999999999999999999;", b"<a " + b"b=c " * 40 + b">",
    )  # fmt: skip
    page = b"".join(draw.choice(pieces) * (count // 3) for _ in range(3))
    return _HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + page


def repeated_text(_raw: bytes, draw: Random) -> bytes:
    """Text that regular expressions fear: white space, quotes, bytes that could be any charset."""
    pieces = (
        b" ",
        b"\t",
        b"> ",
        b"\n",
        b"\r",
        b"\xe9",
        b"\x80\xff",
        b"a" * 50 + b" ",
        b"=",
        b"begin 644 x\n",
        b"\xef\xbf\xbd",
        b"\x1b$B",
    )
    charset = draw.choice((b"utf-8", b"nope", b"iso-2022-jp", b"us-ascii", b"utf-7", b"gb18030"))  # fmt: skip
    head = _HEAD + b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n"
    return head + draw.choice(pieces) * draw.choice((1000, 50_000, 200_000))


def report(_raw: bytes, draw: Random) -> bytes:
    """A delivery status of thousands of recipients, or of lines that are no fields (RFC 3464)."""
    block = draw.choice(
        (b"Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n", b"\r\n", b"Status: 9.999.999\r\n", b"no field\r\n",
         b"Final-Recipient: ;;;\r\n\r\n", b"Final-Recipient: rfc822;" + b"x" * 900 + b"\r\n\r\n", b"Action: =?utf-8?q?=ff?=\r\n", b"\xff\x00: \xfe\r\n\r\n")
    )  # fmt: skip
    head = (
        b"Return-Path: <>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    )
    parts = b"--b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    return _HEAD + head + parts + block * draw.choice((1, 3, 1000)) + b"\r\n--b--\r\n"


def next_to_nothing(_raw: bytes, draw: Random) -> bytes:
    """Hardly a mail at all."""
    return draw.choice(
        (b"", b"\r\n", b"\n", b"\r", b" ", b"\r\n\r\n", b"x", b":", b": ", b"\x00", b"Subject", b"Subject:", b"Subject: x", b"\xff", b"--",
         b"\xef\xbb\xbf", b"\r\n" * 5000, b"\x00" * 5000, b"Content-Type: multipart/mixed\r\n\r\n", b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n")
    )  # fmt: skip


def noise(_raw: bytes, draw: Random) -> bytes:
    """Random bytes, or random pieces of mails."""
    if draw.random() < 0.3:
        return draw.randbytes(draw.choice((1, 50, 2000, 20_000)))
    pieces = (
        b"From: ", b"Subject: ", b"=?utf-8?b?", b"?=", b"\r\n", b"\r\n\r\n", b"--b", b"--", b"<", b">", b"(", b'"', b"@", b";", b"\x00", b"\xff",
        b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822", b"\r\n ", b"Content-Transfer-Encoding: base64", b"=", b"b",
    )  # fmt: skip
    return b"".join(draw.choices(pieces, k=draw.randint(1, 200)))


BOMBS: tuple[Damage, ...] = (
    encoded_words, parameters, nested, messages, many_parts, many_headers, endless_page, repeated_text, report, next_to_nothing, noise,
)  # fmt: skip
