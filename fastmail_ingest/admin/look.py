"""What Redis says, asked once a second for everybody: nobody who asks us waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from fastmail_ingest.config import Account
from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.model.standing import AccountStanding, StreamStanding
from fastmail_ingest.stream.overview import Overview

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
# A hundred accounts are some hundred commands, and their limits and freshness change slowly.
ACCOUNTS_EVERY_S = 5.0
ANSWER_TIMEOUT_S = 2.0
SILENCE_S = 6.0


class Seen(Struct, frozen=True):
    """What was seen last, at `at` (time.monotonic()); `error` is empty if Redis answered the last time."""

    at: float
    error: str = "it was not asked yet"
    stream: StreamStanding | None = None
    accounts: Sequence[AccountStanding] = ()

    def wrong(self, now: float) -> str:
        """Why it must not be relied upon at `now`; empty if it may."""
        silent_s = now - self.at
        if self.error or silent_s < SILENCE_S:
            return self.error
        return f"Redis does not answer since {silent_s:.0f} s"


class RedisLook:
    """A thread that looks. `seen` may be read from any other; nothing is logged while all is `stopping`."""

    def __init__(
        self, overview: Overview, accounts: Sequence[Account], stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.seen = Seen(time.monotonic())
        self._overview = overview
        self._accounts = accounts
        self._all_stops = stopping
        self._accounts_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis-look", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look that hangs is left behind, it holds nothing."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self.seen = self.look(began)
            self._stopping.wait(max(0.0, began + LOOK_EVERY_S - time.monotonic()))
        self._overview.close()

    def look(self, now: float) -> Seen:
        """Ask Redis now; what it does not answer stays as it was seen last."""
        before = self.seen
        try:
            stream = self._overview.stream()
            accounts = before.accounts
            if now >= self._accounts_at or before.error:
                accounts = self._overview.accounts(self._accounts)
                self._accounts_at = now + ACCOUNTS_EVERY_S
        except StreamUnavailable as error:
            if not before.error and not self._all_stops():
                _log.warning("%s", error)
            return Seen(before.at, str(error).partition(" remedy: ")[0], before.stream, before.accounts)
        except Exception as error:
            # What others wrote into our keys must not end the look for good.
            _log.exception("looking at Redis failed")
            return Seen(
                before.at, f"what Redis holds cannot be read: {error}", before.stream, before.accounts
            )
        return Seen(time.monotonic(), "", stream, accounts)
