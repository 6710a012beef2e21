"""Mails as they come from the world: most fine, some broken, all legal to APPEND."""

import base64


def odd_mails(count: int) -> list[bytes]:
    """`count` mails of a dozen kinds, all different."""
    return [_KINDS[number % len(_KINDS)](number) for number in range(count)]


def _head(number: int, *more: bytes) -> bytes:
    lines = [
        b"From: a%d@example.org" % number,
        b"Subject: mail %d" % number,
        b"Message-ID: <%d@x>" % number,
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


_KINDS = [
    lambda n: _head(n) + b"plain\r\n",
    lambda n: _head(n, b"Content-Type: text/html; charset=latin-1") + b"<b>caf\xe9</b>\r\n",
    lambda n: _head(n, b"X-Subject: 8-bit \xff\xfe") + b"\xc3\xa9" * 100,
    lambda n: b"Subject: no sender %d\r\n\r\n" % n,
    lambda n: b"just text, no header %d" % n,
    lambda n: _head(n, b"Content-Type: multipart/mixed; boundary=b") + b"--b\r\n\r\nunfinished",
    lambda n: _head(n, b"Content-Type: text/plain; charset=no-such-charset") + b"\x80\x81",
    lambda n: _head(n, b"Content-Transfer-Encoding: base64") + b"!!! not base64 %d" % n,
    lambda n: _head(n, b"Subject: =?utf-8?b?" + base64.b64encode("Grüße 🎉".encode()) + b"?=") + b"x",
    lambda n: _head(n) + b"{1000}\r\n* 5 FETCH (UID 9)\r\n) OK\r\nA1 OK done\r\n",
    lambda n: _head(n, b"References: " + b" ".join(b"<%d@y>" % i for i in range(400))) + b"long header",
    lambda n: _head(n) + b"0123456789abcdef" * 20_000,
]
