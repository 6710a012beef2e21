"""One FETCH response of any form, token by token (RFC 9051 9, msg-att), with every token proved."""

import re
from typing import TypeAlias

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.large import TRUNCATED_KEEP_BYTES, Sizes, read_body
from fastmail_ingest.source.values import DATE, epoch, label, unescaped
from fastmail_ingest.source.wire import LINE_MAX_BYTES, Wire, shown

ENDS = b")\r\n"

_MAX_DEPTH = 8
_SHOWN_BYTES = 40
# Nobody asked for a part, so a body that begins elsewhere than at 0 is none.
_BODIES = (b"BODY[]", b"BODY[]<0>", b"BODY[HEADER]", b"BODY[HEADER]<0>")

_START = re.compile(rb"\* \d{1,10} FETCH \(", re.IGNORECASE)
_NAME = re.compile(rb"([A-Za-z][A-Za-z0-9.-]*(?:\[[^\]\r\n]*\])?(?:<\d{1,19}>)?) ")
_SPACE = re.compile(rb" ")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n]|\\[^\r\n])*+)"')
_LITERAL = re.compile(rb"\{(\d{1,19})\+?\}\r\n\Z")
_ATOM = re.compile(rb'[^\x00-\x20()"{\x7f]++')
_DATE = re.compile(DATE[1:-1])
_NIL = re.compile(rb"NIL(?=[ )])", re.IGNORECASE)
_UID = re.compile(rb"\d{1,10}")
_SIZE = re.compile(rb"\d{1,19}")
_GM_ID = re.compile(rb"\d{1,20}")
_OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")

Value: TypeAlias = "bytes | list[Value] | None"
"""An atom, a string or a literal as bytes; a parenthesised list as a list; NIL as None."""


class Walk:
    """Walks through the response that begins with `line`; `ahead` are a body and the line after, if read."""

    def __init__(self, wire: Wire, line: bytes, sizes: Sizes, ahead: tuple[bytes, ...] = ()) -> None:
        self._wire = wire
        self._line = line
        self._sizes = sizes
        self._ahead = list(ahead)
        self._at = 0
        self._left = LINE_MAX_BYTES  # for all but the body
        self._mail = Fetched()
        self._values: dict[bytes, Value] = {}

    def fetched(self) -> Fetched | None:
        """The mail or the flag update; None if it has no UID. Raises ProtocolError for a broken response."""
        try:
            return self._walk()
        except BaseException:
            self._mail.discard()
            raise

    def _walk(self) -> Fetched | None:
        self._match(_START)
        self._item()
        while self._line[self._at :] != ENDS:
            self._match(_SPACE)
            self._item()
        if b"UID" not in self._values:
            if self._mail.raw is not None or not self._values.keys().isdisjoint(
                _BODIES
            ):  # RFC 9051 6.4.9: each response to a UID FETCH has it
                raise ProtocolError("the mail server sent a mail without its UID")
            return None
        _fill(self._mail, self._values)
        return self._mail

    def _item(self) -> None:
        name = self._match(_NAME)[1].upper()
        # Twice the same: a body of the wrong size has swallowed the head of the next response.
        if name in self._values or (name in _BODIES and self._mail.raw is not None):
            raise self._broken()
        if name in _BODIES:
            self._body(name)
        else:
            self._values[name] = self._value(0)

    def _body(self, name: bytes) -> None:
        mail, literal = self._mail, _LITERAL.match(self._line, self._at)
        if literal is None:
            # NIL: not given out (RFC 9051 9, nstring), which is no empty mail.
            if nil := _NIL.match(self._line, self._at):
                self._values[name], self._at = None, nil.end()
                return
            # A short or empty one may come as a quoted string.
            mail.raw = unescaped(self._match(_QUOTED)[1])
            mail.size = len(mail.raw)
            return
        if self._ahead:
            mail.raw = self._ahead.pop(0)
            mail.size = len(mail.raw)
        else:
            read_body(self._wire, int(literal[1]), self._sizes, mail)
        self._next_line()

    def _value(self, depth: int) -> Value:
        first = self._line[self._at : self._at + 1]
        if first == b"(":
            return self._list(depth + 1)
        if first == b'"':
            return unescaped(self._match(_QUOTED)[1])
        if first == b"{":
            return self._literal()
        atom = self._match(_ATOM)[0]
        return None if atom.upper() == b"NIL" else atom

    def _list(self, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            raise self._broken()
        values: list[Value] = []
        self._at += 1
        while not self._line.startswith(b")", self._at):
            if self._line.startswith(b" ", self._at):  # also where there should be none: it harms nobody
                self._at += 1
            else:
                values.append(self._value(depth))
        self._at += 1
        return values

    def _literal(self) -> bytes:
        size = int(self._match(_LITERAL)[1])
        if size > TRUNCATED_KEEP_BYTES:
            raise ProtocolError(f"the mail server announced a value of {size} bytes that is not a mail")
        value = self._wire.take(size)
        self._left -= size
        self._next_line()
        return value

    def _next_line(self) -> None:
        self._line, self._at = self._ahead.pop(0) if self._ahead else self._wire.line(), 0
        self._left -= len(self._line)
        if self._left < 0:
            raise ProtocolError(f"the mail server sent more than {LINE_MAX_BYTES} bytes about one mail")

    def _match(self, token: "re.Pattern[bytes]") -> "re.Match[bytes]":
        found = token.match(self._line, self._at)
        if found is None:
            raise self._broken()
        self._at = found.end()
        return found

    def _broken(self) -> ProtocolError:
        # Little of it: these may be a stranger's words, which have no place in a log.
        rest = self._line[self._at : self._at + _SHOWN_BYTES]
        return ProtocolError(f"the mail server broke the grammar of FETCH: {shown(rest)!r}")


def _fill(mail: Fetched, values: dict[bytes, Value]) -> None:
    """Put the values that we know into the mail; the others are nothing to us."""
    uid = _whole(_UID, values.get(b"UID"))
    if uid is None:
        raise ProtocolError("the mail server sent a UID that is no number")
    mail.uid = int(uid[0])
    if size := _whole(_SIZE, values.get(b"RFC822.SIZE")):
        mail.size = int(size[0])
    if date := _whole(_DATE, values.get(b"INTERNALDATE")):
        mail.internal_date = epoch(*date.groups())
    mail.flags = tuple(flag.decode("utf-8", "replace") for flag in _words(values, b"FLAGS"))
    mail.labels = tuple(label(name) for name in _words(values, b"X-GM-LABELS"))
    mail.gm_msgid, mail.gm_thrid = _id(_GM_ID, values, b"X-GM-MSGID"), _id(_GM_ID, values, b"X-GM-THRID")
    mail.email_id, mail.thread_id = _id(_OBJECT_ID, values, b"EMAILID"), _id(_OBJECT_ID, values, b"THREADID")


def _whole(shape: "re.Pattern[bytes]", value: Value) -> "re.Match[bytes] | None":
    return shape.fullmatch(value) if isinstance(value, bytes) else None


def _words(values: dict[bytes, Value], name: bytes) -> list[bytes]:
    value = values.get(name)
    return [word for word in value if isinstance(word, bytes)] if isinstance(value, list) else []


def _id(shape: "re.Pattern[bytes]", values: dict[bytes, Value], name: bytes) -> str:
    """An identity that stands there as it is (Gmail), or alone in a list (RFC 8474 5)."""
    words = _words(values, name)
    found = _whole(shape, words[0] if len(words) == 1 else values.get(name))
    return found[0].decode() if found else ""
