"""What is printed in a child: each line becomes one of the log's form, with the mail that it is about."""

import io
import logging
import threading
from typing import Any, NamedTuple, TextIO

from fastmail_ingest.model.scope import NOTHING, Scope, current, fields, names_of

LINE_CHARS_MAX = 64 * 1024  # a longer one comes in pieces


class _Begun(NamedTuple):
    """The beginning of a line, and what it is about."""

    text: str = ""
    scope: Scope = NOTHING


class Printed(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr. What is written to its `buffer` goes out as it is."""

    def __init__(self, out: "logging.StreamHandler[TextIO]", name: str) -> None:
        super().__init__()
        self._out, self._name = out, name
        self._own = threading.local()  # a line of one thread is not torn by another

    def write(self, text: str) -> int:
        """Take in some text; whole lines go out. Never fails: a print is no reason for a mail to."""
        begun, scope = self._begun(), names_of(current())
        if begun.text and begun.scope != scope:
            self._put(begun)  # it was another mail's
            begun = _Begun()
        *lines, rest = (begun.text + text).split("\n")
        while len(rest) > LINE_CHARS_MAX:
            lines.append(rest[:LINE_CHARS_MAX])
            rest = rest[LINE_CHARS_MAX:]
        for line in lines:
            self._put(_Begun(line, scope))
        self._own.begun = _Begun(rest, scope) if rest else _Begun()
        return len(text)

    def flush(self) -> None:
        """What this thread has begun is a line now."""
        begun = self._begun()
        self._own.begun = _Begun()
        self._put(begun)

    def _begun(self) -> _Begun:
        return getattr(self._own, "begun", _Begun())

    def _put(self, line: _Begun) -> None:
        # Logging tells on sys.stderr, so perhaps by us, what keeps it from writing.
        if not line.text.strip() or getattr(self._own, "busy", False):
            return
        record = logging.LogRecord(self._name, logging.INFO, "", 0, "%s", (line.text,), None)
        record.__dict__.update(fields(line.scope))
        self._own.busy = True
        try:
            self._out.handle(record)
        finally:
            self._own.busy = False

    # --- as a stream looks to those who ask --------------------------------------------------------

    @property
    def buffer(self) -> Any:
        """The stream of bytes below."""
        return self._out.stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has an attribute
        """That of the stream below."""
        return self._out.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream below."""
        return self._out.stream.errors

    def fileno(self) -> int:
        """That of the stream below."""
        return self._out.stream.fileno()

    def isatty(self) -> bool:
        """Never: whoever asks would draw pictures."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True
