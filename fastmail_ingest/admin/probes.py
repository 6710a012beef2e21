"""/health, /ready, /status and /metrics: for machines that watch. None of them waits for Redis."""

import os
import time

from aiohttp import web

from fastmail_ingest.admin.answers import answer, encoded
from fastmail_ingest.admin.ports import Parts

_INDEX = """\
fastmail-ingest

GET  /health        200 while this process lives
GET  /ready         200, or 503 with the reasons
GET  /status        how everything stands
GET  /metrics       for Prometheus
GET  /api/session   whether a token is set, and whether yours is right
GET  /api/events    the status once a second (server-sent events)
GET  /api/history   the last hour; ?seconds=3600&step=10
GET  /api/retries   mails that wait for another try, soonest first
GET  /api/dead      dead letters; ?reason= account= mailbox= error= q= limit= before=
GET  /api/dead/ID   one of them with the text of its mail (token)
POST /api/dead/replay, /api/dead/remove, /api/dead/export (token)
"""


class Probes:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add_to(self, app: web.Application) -> None:
        """Everything."""
        app.router.add_get("/", self.index)
        app.router.add_get("/api", self.index)
        app.router.add_get("/ready", self.ready)
        app.router.add_get("/status", self.status)
        self.add_metrics_to(app)

    def add_metrics_to(self, app: web.Application) -> None:
        """What the port for metrics has."""
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)

    async def index(self, _: web.Request) -> web.Response:
        """What there is."""
        return web.Response(text=_INDEX)

    async def health(self, _: web.Request) -> web.Response:
        """That this process lives."""
        uptime_s = time.time() - self._parts.watch.snapshot.since
        return answer({"status": "alive", "pid": os.getpid(), "uptime_s": round(uptime_s, 3)})

    async def ready(self, _: web.Request) -> web.Response:
        """Whether all is well, and if not, why."""
        snapshot = self._parts.watch.snapshot
        body = {"ready": snapshot.ready, "reasons": snapshot.reasons}
        return answer(body, 200 if snapshot.ready else 503)

    async def status(self, _: web.Request) -> web.Response:
        """The last look at everything."""
        return encoded(self._parts.watch.encoded)

    async def metrics(self, request: web.Request) -> web.Response:
        """What Prometheus takes."""
        accept = request.headers.get("Accept", "")
        body, content_type = await self._parts.threads.run(lambda: self._parts.metrics.render(accept))
        return web.Response(body=body, headers={"Content-Type": content_type})
