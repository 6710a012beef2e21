"""The end of a handler that takes too long, where there is no supervisor that kills its worker."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Hung(BaseException):
    """The handler took so long that its worker would have been killed."""


@contextmanager
def killed_after(seconds: float) -> Iterator[threading.Event]:
    """Raise Hung in the code within if it takes longer; the event is set then, whoever catches it.

    Only in the main thread, where signals arrive. Not SIGALRM: test runners have timeouts of their own.
    """
    expired = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield expired
        return
    within = True

    def interrupt(*_: object) -> None:
        if within:
            expired.set()
            raise Hung("it was here")

    before = signal.signal(signal.SIGUSR2, interrupt)
    timer = threading.Timer(seconds, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR2))
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        within = False
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR2, before)
