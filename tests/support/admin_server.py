"""The HTTP server on a real Redis and real sockets, on a loop in a thread: no supervisor is needed for it."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import requests
import uvloop

from fastmail_ingest.admin import look as looking
from fastmail_ingest.admin import watch as judging
from fastmail_ingest.admin.guard import Guard
from fastmail_ingest.admin.history import History
from fastmail_ingest.admin.latency import LatencyLook
from fastmail_ingest.admin.letters import Letters
from fastmail_ingest.admin.look import ANSWER_TIMEOUT_S, RedisLook
from fastmail_ingest.admin.ports import Parts
from fastmail_ingest.admin.server import listeners
from fastmail_ingest.admin.threads import Threads
from fastmail_ingest.admin.watch import About, Watch
from fastmail_ingest.config import Account, AdminConfig
from fastmail_ingest.policy.readiness import Limits
from fastmail_ingest.stream.dead_letters import DeadLetters
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.overview import Overview
from fastmail_ingest.stream.schedule import RetrySchedule
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.supervisor.slots import SlotTable, State

TOKEN = "planted-token-0123456789"
LIMITS = Limits(freshness_s=240.0, backlog_age_s=600.0, dead_growth=3, deaths=4)
HEADERS_ALWAYS = ("Content-Security-Policy", "X-Content-Type-Options", "Cache-Control")


class SomeMetrics:
    """Answers what it was asked for."""

    def render(self, accept: str) -> tuple[bytes, str]:
        return f"# {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class AdminServer:
    """One that runs; `table` is what the children of a supervisor would write into."""

    table: SlotTable
    watch: Watch
    ports: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def get(self, path: str, token: str = "", **headers: str) -> requests.Response:
        return self.ask("GET", path, token, **headers)

    def post(self, path: str, body: Any, token: str = TOKEN, **headers: str) -> requests.Response:
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        headers.setdefault("Content_Type", "application/json")
        return self.ask("POST", path, token, text, **headers)

    def ask(
        self, method: str, path: str, token: str = "", body: str | bytes | None = None, **headers: str
    ) -> requests.Response:
        """Header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        response = requests.request(method, self.url + path, data=body, headers=sent, timeout=20)
        for name in HEADERS_ALWAYS:
            assert response.headers[name], (path, name)
        assert response.headers["Server"] == "fastmail-ingest"
        return response

    def reasons(self) -> list[str]:
        """The names of what keeps it from being ready."""
        response = self.get("/ready")
        told = response.json()
        assert (response.status_code == 200) == told["ready"] == (not told["reasons"])
        return [reason["name"] for reason in told["reasons"]]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[0]), timeout=30)


def two_children() -> SlotTable:
    """What a worker and a producer that are at work have put up."""
    table = SlotTable(4, 2)
    for number, name in enumerate(("worker", "producer")):
        row = table.board.row(number)
        row.name, row.wanted = name, 1
        table.slot(number).claim(number, number + 1, table.board.since)
        table.slot(number).pid = os.getpid()
        table.slot(number).state = State.READY
    return table


@contextmanager
def admin_server(
    redis_url: str, accounts: list[Account] | None = None, blobs: Any = None, **settings: Any
) -> Iterator[AdminServer]:
    """Serve the stream at `redis_url`; `settings` are those of [admin]."""
    admin = AdminConfig(**{"token": TOKEN, "port": 0, **settings})
    arguments = Arguments(Keys("fmi"), 90)
    table = two_children()
    started, ended = threading.Event(), threading.Event()
    made: list[AdminServer] = []
    failed: list[BaseException] = []

    async def serve() -> None:
        look = RedisLook(Overview(redis_url, "", arguments, ANSWER_TIMEOUT_S), accounts or [])
        mailboxes = [f"{each.name}/{name}" for each in accounts or [] for name in each.mailboxes]
        watch = Watch(About("9.9.9", "node", LIMITS, mailboxes), table, look, LatencyLook(dict), History())
        dead = DeadLetters(redis_url, "", arguments, ANSWER_TIMEOUT_S)
        dead.blobs = blobs
        schedule = RetrySchedule(redis_url, "", arguments, ANSWER_TIMEOUT_S)
        parts = Parts(Guard(admin), watch, Threads(), Letters(dead), schedule, SomeMetrics(), ended.is_set)
        look.seen = look.look(table.board.since)
        look.start()
        watching = asyncio.create_task(watch.run(lambda: None))
        serving = listeners(admin, parts)
        for listener in serving:
            await listener.open()
        made.append(AdminServer(table, watch, [listener.port for listener in serving]))
        started.set()
        while not ended.is_set():
            await asyncio.sleep(0.02)
        watching.cancel()
        for listener in serving:
            await listener.close()
        parts.threads.close()
        look.stop()

    def run() -> None:
        try:
            uvloop.run(serve())
        except BaseException as error:
            failed.append(error)
            started.set()
            raise

    thread = threading.Thread(target=run, daemon=True)
    with quicker():
        thread.start()
        assert started.wait(30)
        assert not failed, failed
        try:
            yield made[0]
        finally:
            ended.set()
            thread.join(30)
            assert not thread.is_alive()


@contextmanager
def quicker() -> Iterator[None]:
    """Look more often than once a second: many tests wait for many looks."""
    with (
        mock.patch.object(looking, "LOOK_EVERY_S", 0.1),
        mock.patch.object(looking, "ACCOUNTS_EVERY_S", 0.2),
        mock.patch.object(judging, "EVERY_S", 0.1),
    ):
        yield
