"""A terminal on which something live is drawn: its other screen, and keys as they are pressed."""

import os
import select
import signal
import socket
import termios
import tty
from contextlib import suppress
from typing import Any, NamedTuple, Self

from rich.console import Console, ConsoleRenderable
from rich.control import Control
from rich.screen import Screen

_HEEDED = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
    signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT,
)  # fmt: skip
_STDIN = 0  # also where it is closed, and Python has none
_CHARACTERS = 6  # of the list that termios.tcgetattr gives
_KEYS_BYTES = 1024


class Heard(NamedTuple):
    """What ended a wait: signals, and keys that were pressed."""

    signals: list[int]
    keys: str


class Terminal:
    """Use it in a `with` block, in the main thread; behind it the terminal is what it was before.

    Ctrl-Z gives it back to the shell, and takes it again when we go on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._keyboard: int | None = None
        self._modes: list[Any] = []

    def __enter__(self) -> Self:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        if os.isatty(_STDIN):
            self._keyboard = _STDIN
            self._modes = termios.tcgetattr(self._keyboard)
        self._before = {number: signal.signal(number, lambda *_: None) for number in _HEEDED}
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._receiver.close()
        self._sender.close()

    def _take(self) -> None:
        if self._keyboard is not None:
            # As in "q" without Enter, and without showing it; Ctrl-C and Ctrl-Z stay signals.
            tty.setcbreak(self._keyboard)
            modes = termios.tcgetattr(self._keyboard)
            # A read never waits: Ctrl-C takes keys away that were there a moment ago.
            modes[_CHARACTERS][termios.VMIN] = modes[_CHARACTERS][termios.VTIME] = 0
            termios.tcsetattr(self._keyboard, termios.TCSANOW, modes)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def _give_back(self) -> None:
        # The terminal may be gone: then there is nothing to give back.
        with suppress(OSError):
            self._console.set_alt_screen(False)
            self._console.show_cursor(True)
        if self._keyboard is not None:
            with suppress(termios.error):
                # What was typed and not read is no command for the shell.
                termios.tcsetattr(self._keyboard, termios.TCSAFLUSH, self._modes)

    def draw(self, screen: ConsoleRenderable) -> None:
        """Draw over what is there, in one piece: nothing is blank in between."""
        with self._console:
            self._console.control(Control.home())
            self._console.print(Screen(screen), end="")

    def wake(self) -> None:
        """End the wait; from any thread."""
        with suppress(OSError):  # nobody waits any more, or he is awake
            self._sender.send(b"\0")

    def wait(self, timeout_s: float) -> Heard:
        """Wait for a signal, a key, `wake` or the timeout."""
        poller = select.poll()
        poller.register(self._receiver.fileno(), select.POLLIN)
        if self._keyboard is not None:
            poller.register(self._keyboard, select.POLLIN)
        keys = self._read_keys(dict(poller.poll(timeout_s * 1000)))
        try:
            signals = [number for number in self._receiver.recv(_KEYS_BYTES) if number]
        except BlockingIOError:
            signals = []
        if signal.SIGTSTP in signals:
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
        if signal.SIGCONT in signals:  # the shell has made the terminal its own meanwhile
            self._take()
        return Heard(signals, keys)

    def _read_keys(self, ready: dict[int, int]) -> str:
        if self._keyboard not in ready:
            return ""
        try:
            if ready[self._keyboard] & select.POLLIN:
                return os.read(self._keyboard, _KEYS_BYTES).decode("ascii", "replace")
        except OSError:
            pass  # as below
        self._keyboard = None  # hung up: it would be ready for ever
        return ""
