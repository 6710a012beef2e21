"""The applications on their ports."""

from aiohttp import web

from fastmail_ingest.admin.api import Api
from fastmail_ingest.admin.guard import add_headers
from fastmail_ingest.admin.listener import BODY_MAX_BYTES, Listener
from fastmail_ingest.admin.ports import Parts
from fastmail_ingest.admin.probes import Probes
from fastmail_ingest.config import AdminConfig


def make_app(parts: Parts, *, metrics_alone: bool = False) -> web.Application:
    """All that is served on the main port, or on that for metrics alone."""
    app = web.Application(middlewares=[parts.guard.middleware], client_max_size=BODY_MAX_BYTES)
    app.on_response_prepare.append(add_headers)
    probes = Probes(parts)
    if metrics_alone:
        probes.add_metrics_to(app)
    else:
        probes.add_to(app)
        Api(parts).add_to(app)
    return app


def listeners(admin: AdminConfig, parts: Parts) -> list[Listener]:
    """Those for the ports that are configured."""
    made = [Listener(make_app(parts), admin.host, admin.port, "port")]
    if admin.metrics_port:
        app = make_app(parts, metrics_alone=True)
        made.append(Listener(app, admin.host, admin.metrics_port, "metrics_port"))
    return made
