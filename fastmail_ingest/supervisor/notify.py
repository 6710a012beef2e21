"""What a service manager is told, and how often it must hear of us: sd_notify(3), sd_watchdog_enabled(3)."""

import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Self

_log = logging.getLogger(__name__)

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PID_VARIABLE = "WATCHDOG_PID"
_MICRO = 1_000_000
_TEXT_CHARS_MAX = 400  # about what `systemctl status` shows of it


@dataclass
class Notifier:
    """The way to the service manager; without one, every call does nothing.

    `watchdog_s` is how long it bears our silence, 0.0 if for ever.
    """

    address: str = ""
    watchdog_s: float = 0.0
    _heard: bool = False
    _complained: bool = False

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """The one that the environment names.

        It is taken out of there: a child that inherited it could speak, or be watched, in our place.
        """
        address = environ.pop(SOCKET_VARIABLE, "")
        interval = environ.pop(WATCHDOG_VARIABLE, "")
        meant = environ.pop(WATCHDOG_PID_VARIABLE, "")
        if not address.startswith(("/", "@")) or len(address) < 2:
            if address:
                _log.warning("%s=%s is no path and no abstract socket: ignored", SOCKET_VARIABLE, address)
            return cls()
        for_us = meant in {"", str(os.getpid())}
        watched = for_us and interval.isascii() and interval.isdecimal()
        return cls(address, int(interval) / _MICRO if watched else 0.0)

    def __bool__(self) -> bool:
        return bool(self.address)

    def send(self, **states: str | int) -> bool:
        """Send variables in one datagram; False if it was not taken, to be said again by the caller.

        Never waits: the loop that calls must not hang because a service manager does.
        """
        if not self.address:
            return True
        message = "\n".join(f"{name}={one_line(str(value))}" for name, value in states.items())
        # Without a name in the file system there is a NUL where we write @ (unix(7), abstract sockets).
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            # A socket for each: one that stayed open would be every forked child's, too.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8", "replace"), address)
        except OSError as error:
            self._note(error)
            return False
        self._heard, self._complained = True, False
        return True

    def _note(self, error: OSError) -> None:
        gone = isinstance(error, (FileNotFoundError, ConnectionRefusedError))
        if gone and self._heard and not self.watchdog_s:
            # Who only waited for us to be ready has left.
            self.address = ""
        elif not self._complained and not isinstance(error, BlockingIOError):
            _log.warning("the service manager at %s does not listen: %s", self.address, error)
            self._complained = True


def one_line(text: str) -> str:
    """Text that can become no second variable, and is short enough to be shown."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _TEXT_CHARS_MAX else f"{line[: _TEXT_CHARS_MAX - 1]}…"


def microseconds(seconds: float) -> int:
    """For variables that end in _USEC."""
    return int(seconds * _MICRO)
