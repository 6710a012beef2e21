"""Does the actions of a schedule to the living system."""

import time
from collections.abc import Callable
from signal import SIGCONT, SIGHUP, SIGSTOP, SIGTTIN, SIGTTOU, Signals

import psutil
import redis
import redis.exceptions

from fastmail_ingest.stream.connect import UNAVAILABLE
from fastmail_ingest.stream.keys import GROUP, Keys
from fastmail_ingest.testing.evidence import Deed
from fastmail_ingest.testing.plan import Action, Step
from fastmail_ingest.testing.redis_server import RedisServer
from fastmail_ingest.testing.supervised import Supervised

Undo = Callable[[], None]
_NOBODY = ("127.0.0.1", 1)  # a port on which no Redis listens


class NotNow(Exception):
    """The victim is not there at the moment."""


class Deeds:
    """Performs steps and keeps a list of what was done."""

    def __init__(self, supervised: Supervised, server: RedisServer, prefix: str) -> None:
        self.done: list[Deed] = []
        self._supervised = supervised
        self._server = server
        self._client = server.client()
        self._keys = Keys(prefix)
        self._actions: dict[Action, Callable[[Step], Undo | None]] = {
            Action.KILL_WORKER: lambda step: self._kill_child("worker", step),
            Action.KILL_PRODUCER: lambda step: self._kill_child("producer", step),
            Action.KILL_MAINTENANCE: lambda step: self._kill_child("maintenance", step),
            Action.KILL_SUPERVISOR: self._kill_supervisor,
            Action.KILL_REDIS: self._kill_redis,
            Action.STOP_WORKER: self._stop_worker,
            Action.STOP_REDIS: self._stop_redis,
            Action.CUT_CONNECTIONS: lambda _: self._ask(lambda c: c.client_kill_filter(_type="normal")),
            Action.FLUSH_SCRIPTS: lambda _: self._ask(lambda c: c.script_flush()),
            Action.FILL_MEMORY: lambda _: self._set("maxmemory", 1, 0),
            Action.NO_REPLICAS: lambda _: self._set("min-replicas-to-write", 1, 0),
            Action.READ_ONLY: self._read_only,
            Action.DROP_GROUPS: lambda _: self._ask(self._drop_groups),
            Action.RELOAD: self._reload,
            Action.SCALE: self._scale,
        }

    def perform(self, step: Step) -> Undo | None:
        """Do it, and return what ends it if it lasts; raises NotNow if it cannot be done yet."""
        deed = Deed(step.action, time.monotonic(), time.monotonic())
        self.done.append(deed)
        try:
            undo = self._actions[step.action](step)
        except (NotNow, psutil.NoSuchProcess, *UNAVAILABLE) as error:
            self.done.pop()
            raise NotNow from error
        return None if undo is None else self._ending(deed, undo)

    def _ending(self, deed: Deed, undo: Undo) -> Undo:
        deed.until = float("inf")

        def end() -> None:
            undo()
            deed.until = time.monotonic()

        return end

    # --- processes -------------------------------------------------------------------------------

    def _child(self, role: str, step: Step) -> psutil.Process:
        children = self._supervised.children(role)
        if not children:
            raise NotNow
        child = children[int(step.choice * len(children))]
        self.done[-1].pid = child.pid
        self.done[-1].at = time.monotonic()
        return child

    def _kill_child(self, role: str, step: Step) -> None:
        self._child(role, step).kill()

    def _kill_supervisor(self, _: Step) -> Undo:
        if not self._supervised.children("worker"):
            raise NotNow  # one that is still starting has nothing in hand
        self.done[-1].pid = self._supervised.pid
        self.done[-1].at = time.monotonic()
        self._supervised.kill()
        return self._supervised.start

    def _stop_worker(self, step: Step) -> Undo:
        child = self._child("worker", step)
        child.send_signal(SIGSTOP)

        def go_on() -> None:
            try:
                child.send_signal(SIGCONT)
            except psutil.NoSuchProcess:
                return  # it was killed meanwhile

        return go_on

    def _reload(self, _: Step) -> None:
        self._signal_ready(SIGHUP)

    def _scale(self, _: Step) -> Undo:
        self._signal_ready(SIGTTIN)
        pid = self._supervised.pid

        def back() -> None:
            if self._supervised.pid == pid:
                self._signal_ready(SIGTTOU)

        return back

    def _signal_ready(self, number: Signals) -> None:
        # Before its first child a supervisor has no signal handlers yet: a signal would end it.
        if not self._supervised.children("worker"):
            raise NotNow
        self._supervised.signal(number)

    # --- Redis -----------------------------------------------------------------------------------

    def _kill_redis(self, _: Step) -> Undo:
        if not self._server.answering:
            raise NotNow
        self._server.kill()
        return self._server.start

    def _stop_redis(self, _: Step) -> Undo:
        if not self._server.answering:
            raise NotNow
        self._server.pause()
        return self._server.resume

    def _ask(self, words: Callable[[redis.Redis], object]) -> None:
        if not self._server.answering:
            raise NotNow
        words(self._client)

    def _set(self, name: str, value: int, normal: int) -> Undo:
        self._ask(lambda client: client.config_set(name, value))
        return lambda: self._ask(lambda client: client.config_set(name, normal))

    def _read_only(self, _: Step) -> Undo:
        self._ask(lambda client: client.replicaof(*_NOBODY))
        return lambda: self._ask(lambda client: client.replicaof("NO", "ONE"))

    def _drop_groups(self, client: redis.Redis) -> None:
        for lane in self._keys.lanes.values():
            try:
                client.xgroup_destroy(lane, GROUP)
            except redis.exceptions.ResponseError:
                continue  # no such lane yet
