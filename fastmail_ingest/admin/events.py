"""Server-sent events: the same bytes once a second for all who listen."""

import asyncio

from aiohttp import web

from fastmail_ingest.admin.answers import Refused
from fastmail_ingest.admin.ports import Parts

LISTENERS_MAX = 100
# Who does not take one event in this time has gone to sleep, and comes again by itself.
TAKE_TIMEOUT_S = 10.0
_RETRY_MS = 2000


class Events:
    """The handler of /api/events."""

    def __init__(self, parts: Parts) -> None:
        self._watch = parts.watch
        self._stopping = parts.stopping
        self._listeners = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Send the last look at once, then each that follows; a slow client misses some."""
        if self._listeners >= LISTENERS_MAX:
            raise Refused(503, "busy", f"{LISTENERS_MAX} listen already", "close some dashboards")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        self._listeners += 1
        try:
            await self._send(response)
        except (ConnectionError, TimeoutError):
            response.force_close()
        finally:
            self._listeners -= 1
        return response

    async def _send(self, response: web.StreamResponse) -> None:
        await response.write(f"retry: {_RETRY_MS}\n\n".encode())
        number = self._watch.number
        while not self._stopping():
            event = b"id: %d\nevent: snapshot\ndata: %b\n\n" % (number, self._watch.encoded)
            await asyncio.wait_for(response.write(event), TAKE_TIMEOUT_S)
            number = await self._watch.next(number)
