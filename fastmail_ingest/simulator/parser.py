"""Reading commands: the line, the literals in it, and the tokens of both (RFC 3501 9)."""

import re
from typing import TypeAlias

import msgspec

from fastmail_ingest.errors import ProtocolError
from fastmail_ingest.simulator.wire import LineTooLong, Wire

MAX_LINE_BYTES = 64 * 1024
MAX_LITERAL_BYTES = 64 * 1024 * 1024
MAX_LITERAL_BEFORE_LOGIN_BYTES = 4096
MAX_DEPTH = 8

Token: TypeAlias = "bytes | list[Token]"  # noqa: S105 - no password
"""An atom, a string or a literal as bytes; a parenthesised list as a list."""

_LITERAL = re.compile(rb"\{(\d{1,12})(\+?)\}\Z")
_TAG = re.compile(rb"[!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}(?= )")
# The brackets of BODY[HEADER.FIELDS (FROM)] hold spaces and parentheses, so an atom may hold brackets.
_TOKEN = re.compile(
    rb' *(?:(?P<open>\()|(?P<close>\))|"(?P<string>(?:[^"\\]|\\["\\])*)"'
    rb'|(?P<atom>(?:[^ ()"\[{\x00-\x1f\x7f]|\[[^\]]*\])+))'
)
_ESCAPED = re.compile(rb'\\(["\\])')


class BadCommand(ProtocolError):
    """A command that is answered with BAD; `tag` is `*` when not even that could be read."""

    def __init__(self, text: str, tag: bytes = b"*") -> None:
        super().__init__(text)
        self.tag = tag


class Command(msgspec.Struct, frozen=True):
    """One command; `name` is in capitals, and holds both words of UID commands: `UID FETCH`."""

    tag: bytes
    name: bytes
    args: list[Token]


async def read_command(wire: Wire, max_literal: int) -> Command:
    """The next command with its literals; raises BadCommand, or ConnectionResetError at its end."""
    try:
        line = await wire.read_line(MAX_LINE_BYTES)
    except LineTooLong as error:
        raise BadCommand("command line too long", _tag_of(error.start)) from error
    tag = _tag_of(line)
    if tag == b"*":
        raise BadCommand("a command begins with a tag")
    try:
        return _command(tag, await _read_tokens(wire, line[len(tag) :], max_literal))
    except LineTooLong as error:
        raise BadCommand("command line too long", tag) from error
    except ProtocolError as error:
        raise BadCommand(str(error), tag) from error


async def _read_tokens(wire: Wire, line: bytes, max_literal: int) -> list[Token]:
    # Everything is read before anything is judged: an unasked literal must not be taken for commands.
    pieces: list[tuple[bytes, bytes | None]] = []
    left, literals_left = MAX_LINE_BYTES, max_literal
    while (announced := _LITERAL.search(line)) is not None:
        size, unasked = int(announced[1]), bool(announced[2])
        if size > literals_left:
            _refuse_literal(wire, unasked)
        if not unasked:
            wire.send([b"+ go ahead\r\n"])
        pieces.append((line[: announced.start()], await wire.read_exactly(size)))
        literals_left -= size
        left -= len(line)
        line = await wire.read_line(max(0, left))
    pieces.append((line, None))
    scanner = _Scanner()
    for text, literal in pieces:
        scanner.feed(text)
        if literal is not None:
            scanner.add(literal)
    return scanner.finish()


def _refuse_literal(wire: Wire, unasked: bool) -> None:
    if unasked:  # it is on its way, so the connection cannot be used any more (RFC 7888 4)
        wire.send([b"* BYE [TOOBIG] literal too large\r\n"])
        wire.close()
        raise ConnectionResetError("literal too large")
    raise ProtocolError("[TOOBIG] literal too large")


def _command(tag: bytes, tokens: list[Token]) -> Command:
    words = 2 if tokens and isinstance(tokens[0], bytes) and tokens[0].upper() == b"UID" else 1
    name = [token.upper() for token in tokens[:words] if isinstance(token, bytes)]
    if len(name) < words:
        raise ProtocolError("no command")
    return Command(tag, b" ".join(name), tokens[words:])


def _tag_of(line: bytes) -> bytes:
    found = _TAG.match(line)
    return found[0] if found is not None else b"*"


class _Scanner:
    """Collects tokens from pieces of text and from the literals between them."""

    def __init__(self) -> None:
        self._stack: list[list[Token]] = [[]]

    def add(self, token: Token) -> None:
        """Take a literal as it is."""
        self._stack[-1].append(token)

    def feed(self, text: bytes) -> None:
        """Take a piece of a command line; raises ProtocolError for what is no token."""
        at, end = 0, len(text.rstrip(b" "))
        while at < end:
            found = _TOKEN.match(text, at, end)
            if found is None:
                raise ProtocolError("syntax error")
            self._take(found)
            at = found.end()

    def finish(self) -> list[Token]:
        """All tokens; raises ProtocolError if a parenthesis is still open."""
        if len(self._stack) > 1:
            raise ProtocolError("missing )")
        return self._stack[0]

    def _take(self, found: re.Match[bytes]) -> None:
        kind = found.lastgroup
        if kind == "open":
            if len(self._stack) > MAX_DEPTH:
                raise ProtocolError("too many parentheses")
            inner: list[Token] = []
            self._stack[-1].append(inner)
            self._stack.append(inner)
        elif kind == "close":
            if len(self._stack) == 1:
                raise ProtocolError("unexpected )")
            self._stack.pop()
        elif kind == "string":
            self.add(_ESCAPED.sub(rb"\1", found["string"]))
        else:
            self.add(found["atom"])


def text_at(args: list[Token], at: int) -> bytes:
    """The argument at this place as bytes; raises ProtocolError if it is missing or a list."""
    token = args[at] if at < len(args) else None
    if not isinstance(token, bytes):
        raise ProtocolError(f"argument {at + 1} is missing or not a string")
    return token


def words_of(token: Token) -> list[bytes]:
    """A list of atoms, or a single atom as such a list; raises ProtocolError for nested lists."""
    words = [token] if isinstance(token, bytes) else token
    atoms = [word for word in words if isinstance(word, bytes)]
    if len(atoms) != len(words):
        raise ProtocolError("a flat list is expected")
    return atoms


def name_of(raw: bytes) -> str:
    """A mailbox or user name as text, so that `name_bytes` gives back exactly what was sent."""
    return raw.decode("utf-8", "surrogateescape")


def name_bytes(name: str) -> bytes:
    """The opposite of `name_of`."""
    return name.encode("utf-8", "surrogateescape")


def quoted(name: str) -> bytes:
    """A name as a quoted string of a response."""
    return b'"%s"' % name_bytes(name).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
