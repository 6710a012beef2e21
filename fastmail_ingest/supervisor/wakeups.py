"""The one place where the supervisor waits: signals and deaths both end the wait."""

import os
import selectors
import signal
import socket

HANDLED_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGCHLD,
)  # fmt: skip

INIT_PID = 1
_SIGNALLED = 128  # as shells say it: 128 + the signal's number


def heed_term_as_init() -> None:
    """Let SIGTERM end us before we wait for it, also as the first process of a container.

    The kernel takes no default action there (pid_namespaces(7)): without a handler it would be lost.
    """
    if os.getpid() == INIT_PID:
        # As the default action does: an exception could be caught by a module of the user's, on its import.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(_SIGNALLED + number))


class Wakeups:
    """The one place to wait: signals and deaths both make it return."""

    def __enter__(self) -> "Wakeups":
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._receiver, selectors.EVENT_READ)
        self._before = {number: signal.signal(number, lambda *_: None) for number in HANDLED_SIGNALS}
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.close_in_child()

    def close_in_child(self) -> None:
        """Give up the descriptors; the parent's are its own."""
        self._selector.close()
        self._receiver.close()
        self._sender.close()

    def watch(self, pidfd: int) -> None:
        """Let the end of this process wake us."""
        self._selector.register(pidfd, selectors.EVENT_READ)

    def forget(self, pidfd: int) -> None:
        """Stop watching; to be called before the descriptor is closed, since its number is used again."""
        self._selector.unregister(pidfd)

    def wait(self, timeout_s: float) -> list[int]:
        """Wait for a signal, a death or the timeout; return the numbers of the signals that came."""
        self._selector.select(timeout_s)
        try:
            return [number for number in self._receiver.recv(4096) if number != signal.SIGCHLD]
        except BlockingIOError:
            return []
