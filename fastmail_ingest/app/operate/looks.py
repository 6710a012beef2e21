"""What `status` shows: what Redis says, and what the HTTP server of a running supervisor says beside it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from fastmail_ingest.admin.history import Series
from fastmail_ingest.app.daemon.health import NoAnswer, fetch, url_of
from fastmail_ingest.config import Account, Config
from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.model.snapshot import Snapshot
from fastmail_ingest.model.standing import AccountStanding, StreamStanding
from fastmail_ingest.stream.overview import Overview

HTTP_TIMEOUT_S = 3.0
_END_S = 1.0  # longer than any look that does not hang
_HISTORY = "/api/history?seconds=600&step=15"

T = TypeVar("T")


class StreamSeen(msgspec.Struct, frozen=True):
    """What Redis says, or `error`: why it says nothing."""

    stream: StreamStanding | None = None
    accounts: list[AccountStanding] = []
    error: str = ""


class SupervisorSeen(msgspec.Struct, frozen=True):
    """What GET /status and /api/history say, or `error`: why they say nothing."""

    snapshot: Snapshot | None = None
    history: Series | None = None
    error: str = ""


class Seen(msgspec.Struct, frozen=True):
    """Both, as of `time` (epoch s); for so many seconds they let us wait for their next answer."""

    time: float
    redis: StreamSeen
    supervisor: SupervisorSeen
    redis_silent_s: float = 0.0
    supervisor_silent_s: float = 0.0

    @property
    def stream(self) -> StreamStanding | None:
        """The stream, as Redis has it, else as the supervisor saw it last."""
        snapshot = self.supervisor.snapshot
        return self.redis.stream or (snapshot.stream if snapshot else None)

    @property
    def accounts(self) -> list[AccountStanding]:
        """The accounts, in the same way."""
        snapshot = self.supervisor.snapshot
        return snapshot.accounts if self.redis.stream is None and snapshot else self.redis.accounts


class RedisLook:
    """Asks Redis; connects anew after it was away."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._overview: Overview | None = None

    def __call__(self) -> StreamSeen:
        """What it says now."""
        try:
            self._overview = self._overview or Overview.of(self._config)
            accounts: list[Account] = self._config.accounts
            return StreamSeen(self._overview.stream(), self._overview.accounts(accounts))
        except StreamUnavailable as error:
            self.close()
            return StreamSeen(error=str(error))

    def close(self) -> None:
        """Close the connection."""
        if self._overview is not None:
            self._overview.close()
            self._overview = None


class SupervisorLook:
    """Asks the HTTP server of [admin]."""

    def __init__(self, config: Config) -> None:
        self._admin = config.admin

    def __call__(self) -> SupervisorSeen:
        """What it says now."""
        if not self._admin.port:
            return SupervisorSeen(error="[admin] port is 0, so there is no HTTP to ask")
        url = url_of(self._admin)
        try:
            snapshot = fetch(url, "/status", Snapshot, HTTP_TIMEOUT_S)
            return SupervisorSeen(snapshot, fetch(url, _HISTORY, Series, HTTP_TIMEOUT_S))
        except NoAnswer as error:
            return SupervisorSeen(error=f"nothing answers at {url} as it would: {error}")


class Looking(Generic[T]):
    """Looks in a thread: whoever is asked may hang, and nobody waits for it longer than he wants to."""

    def __init__(self, look: Callable[[], T], every_s: float | None, told: Callable[[], None]) -> None:
        """Look once, or every so many seconds; `told` is called behind each look."""
        self._look, self._every_s, self._told = look, every_s, told
        self._latest: T | None = None
        self._failure: BaseException | None = None
        self._asked_at: float | None = time.monotonic()  # None between two looks
        self._first = threading.Event()
        self._ended = threading.Event()
        # A daemon: one that hangs must not keep us from ending.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._asked_at = time.monotonic()
            try:
                self._latest = self._look()
            except BaseException as error:  # raised where somebody sees it
                self._failure = error
                self._ended.set()
            self._asked_at = None
            self._first.set()
            self._told()
            if self._every_s is None or self._ended.wait(self._every_s):
                return

    def wait(self, timeout_s: float) -> bool:
        """Wait for the first look; whether there was one."""
        return self._first.wait(timeout_s)

    def latest(self, otherwise: T) -> T:
        """What was seen last, `otherwise` if nothing was yet. Raises what a look raised."""
        if self._failure is not None:
            raise self._failure
        return otherwise if self._latest is None else self._latest

    def silent_s(self) -> float:
        """How long the look that goes on has been waiting for its answer; 0 between two looks."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def end(self) -> None:
        """Look no more. One that is in the middle of it is waited for: it may hold locks that others need."""
        self._ended.set()
        self._thread.join(_END_S)
