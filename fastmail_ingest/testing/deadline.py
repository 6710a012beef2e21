"""The end of a handler that takes too long, where there is no supervisor that kills its worker."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A handler may catch what interrupts it, and go on. So it is interrupted again, and in the end given up.
_AGAIN_AFTER_S = 1.0
_INTERRUPTIONS = 5


class Hung(BaseException):
    """The handler took so long that its worker would have been killed."""


@contextmanager
def killed_after(seconds: float, deaf: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """Raise Hung in the code within if it takes longer; the event is set then, whoever catches it.

    Code that catches that again and again is nothing that can be ended in this process: `deaf` is called
    then, in a thread. Only in the main thread, where signals arrive. Not SIGALRM: test runners have timeouts
    of their own.
    """
    expired, ended = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield expired
        return
    main = threading.get_ident()

    def interrupt(*_: object) -> None:
        if not ended.is_set():
            expired.set()
            raise Hung("it was here")

    def watch() -> None:
        wait_s = seconds
        for _ in range(_INTERRUPTIONS):
            if ended.wait(wait_s):
                return
            signal.pthread_kill(main, signal.SIGUSR2)
            wait_s = _AGAIN_AFTER_S
        if not ended.wait(wait_s) and deaf is not None:
            deaf()

    before = signal.signal(signal.SIGUSR2, interrupt)
    watcher = threading.Thread(target=watch, name="deadline", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGUSR2, before)
