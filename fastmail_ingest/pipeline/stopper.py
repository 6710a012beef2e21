"""The word "stop" for threads that wait in many ways: on a clock, on a socket, between two mails."""

import os
import select


class Stopped(Exception):
    """Told to stop in the middle of something; what was begun is safe to do again."""


class Stopper:
    """Set once, from a signal handler or another thread; seen by all."""

    def __init__(self) -> None:
        self.stopped = False
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # readable once stopped

    def stop(self) -> None:
        """Say stop. Safe in a signal handler, and twice."""
        self.stopped = True
        os.eventfd_write(self.fd, 1)

    def wait(self, seconds: float) -> bool:
        """Wait; True if the time went by, False if told to stop."""
        if not self.stopped and seconds > 0:
            poller = select.poll()
            poller.register(self.fd, select.POLLIN)
            poller.poll(seconds * 1000)
        return not self.stopped

    def check(self) -> None:
        """Raise Stopped if told to stop."""
        if self.stopped:
            raise Stopped
