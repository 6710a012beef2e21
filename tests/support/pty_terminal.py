"""A program on a real pseudo-terminal, and what a person would see there (pyte reads what it writes)."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import pyte
from pyte import modes

from support.waiting import DEADLINE_S, wait_until

OTHER_SCREEN = b"\x1b[?1049h"
FIRST_SCREEN = b"\x1b[?1049l"
_ENDED = b"<ended>"
# Its size is what the kernel says, whatever that of our own terminal is.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
# What a shell is at a desk: it keeps the session while the program ends, or the kernel resets the terminal.
_SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
    signal.signal(number, lambda *_: None)
told, kept, *command = sys.argv[1:]
program = subprocess.Popen(command)
os.write(int(told), b"%d\\n" % program.pid)
code = program.wait()
os.write(1, b"<ended>")
os.write(int(told), b"%d\\n" % code)
os.read(int(kept), 1)
"""


class PtyTerminal:
    """A terminal with a session of its own; Ctrl-C and the like are pressed, as at a desk."""

    def __init__(
        self, command: list[str], directory: Path, columns: int = 80, lines: int = 24, **environment: str
    ) -> None:
        self._us, self._theirs = pty.openpty()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._written = b""
        self.resize(columns, lines)
        self.modes = self.modes_now
        self._told, told = os.pipe()
        kept, self._keeps = os.pipe()
        self._shell = subprocess.Popen(
            [sys.executable, "-c", _SHELL, str(told), str(kept), *command],
            cwd=directory, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, pass_fds=(told, kept),
            env={**_ENVIRONMENT, "TERM": "xterm-256color", **environment}, start_new_session=True,
        )  # fmt: skip
        os.close(told)
        os.close(kept)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.pid = self._hear()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other side any more
            while piece := os.read(self._us, 65536):
                with self._lock:
                    self._written += piece
                    self._stream.feed(piece)

    def _hear(self) -> int:
        ready, _, _ = select.select([self._told], [], [], DEADLINE_S)
        assert ready, f"it does not go on; there is:\n{self.text}"
        return int(os.read(self._told, 100))

    @property
    def written(self) -> bytes:
        """All that the program wrote."""
        with self._lock:
            return self._written.partition(_ENDED)[0]

    @property
    def text(self) -> str:
        """What is to be seen."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def shows_cursor(self) -> bool:
        with self._lock:
            return modes.DECTCEM in self._screen.mode

    @property
    def modes_now(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def press(self, keys: str) -> None:
        os.write(self._us, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def resize(self, columns: int, lines: int) -> None:
        """As when the window is dragged: the kernel tells the program."""
        with self._lock:
            self._screen.resize(lines, columns)
        fcntl.ioctl(self._us, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, *words: str) -> str:
        """Wait until all of them are to be seen."""

        def seen() -> str:
            text = self.text
            return text if all(word in text for word in words) else ""

        try:
            return wait_until(seen, f"{words} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.text}") from None

    def wait(self) -> int:
        """Its exit code, as subprocess has it; all that it wrote is read then."""
        code = self._hear()
        wait_until(lambda: _ENDED in self._written, "all that it wrote is read")
        return code

    def close(self) -> None:
        """End what is left of it."""
        os.close(self._keeps)
        if self._shell.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        os.close(self._theirs)
        self._reader.join(DEADLINE_S)
        os.close(self._us)
        os.close(self._told)
