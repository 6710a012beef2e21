"""What a handler says while it is tried: its log lines and its prints, made safe for a terminal."""

import codecs
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from fastmail_ingest.app.operate import words

# What it logs about a mail is the outcome, which is told anyway.
_TOLD_ANYWAY = "fastmail_ingest.pipeline"


@contextmanager
def overheard(out: TextIO, level: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Within it, what is printed goes to `out` without control characters, and log lines to `tell`."""
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    root.handlers[:] = [_Lines(tell)]
    root.setLevel(level.upper())
    # Without a buffer: what a handler says before it hangs must be seen.
    raw: Any = _Cleaned(out)
    talk = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    try:
        with redirect_stdout(talk), redirect_stderr(talk):
            yield
    finally:
        talk.flush()
        root.handlers[:] = before
        root.setLevel(level_before)


class _Lines(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell
        self.addFilter(lambda record: not record.name.startswith(_TOLD_ANYWAY))
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._tell(words.clean_lines(self.format(record)))
        except Exception:
            self.handleError(record)


class _Cleaned(io.BufferedIOBase):
    """Bytes that are written come out as text without control characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(words.clean_lines(self._decoder.decode(bytes(data))))
        self._out.flush()
        return len(data)
