"""/api/: what the dashboard asks for and does. Only what is POSTed changes anything, and needs the token."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TypeVar

import msgspec
from aiohttp import web

from fastmail_ingest.admin.answers import Refused, answer
from fastmail_ingest.admin.events import Events
from fastmail_ingest.admin.history import SECONDS
from fastmail_ingest.admin.letters import LETTER_ID, PAGE_MAX, Meant, Search, Which
from fastmail_ingest.admin.ports import Parts
from fastmail_ingest.stream.letter import LetterFilter
from fastmail_ingest.stream.schedule import Waiting

_log = logging.getLogger(__name__)

T = TypeVar("T")

BODY_TIMEOUT_S = 10.0
_CHUNK_BYTES = 256 * 1024
_SEARCH_MAX_CHARS = 200


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of /api/history."""

    seconds: int = SECONDS
    step: int = 10

    def __post_init__(self) -> None:
        if not (1 <= self.step <= self.seconds <= SECONDS):
            raise ValueError(f"expected 1 <= step <= seconds <= {SECONDS}")


class LettersQuery(Meant, frozen=True, kw_only=True):
    """Of /api/dead: a filter, and where to begin."""

    limit: int = 50
    before: str = ""
    q: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MAX or len(self.q) > _SEARCH_MAX_CHARS:
            raise ValueError(
                f"expected 1 <= limit <= {PAGE_MAX}, and at most {_SEARCH_MAX_CHARS} characters in q"
            )
        if self.before and LETTER_ID.fullmatch(self.before) is None:
            raise ValueError("expected before to be the id of a dead letter")


class RetriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of /api/retries."""

    limit: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MAX:
            raise ValueError(f"expected 1 <= limit <= {PAGE_MAX}")


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of /api/dead/export."""

    id: str


class Api:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._run = parts.threads.run

    def add_to(self, app: web.Application) -> None:
        """All of them."""
        app.router.add_get("/api/session", self.session)
        app.router.add_get("/api/events", Events(self._parts).handle)
        app.router.add_get("/api/history", self.history)
        app.router.add_get("/api/retries", self.retries)
        app.router.add_get("/api/dead", self.letters)
        app.router.add_get("/api/dead/{id}", self.letter)
        app.router.add_post("/api/dead/replay", self.replay)
        app.router.add_post("/api/dead/remove", self.remove)
        app.router.add_post("/api/dead/export", self.export)

    async def session(self, request: web.Request) -> web.Response:
        """Whether there is a token, and whether the one that came with the request is right."""
        guard = self._parts.guard
        return answer({"has_token": guard.has_token, "authorized": guard.is_authorized(request)})

    async def history(self, request: web.Request) -> web.Response:
        """The last hour."""
        query = _query(request, HistoryQuery)
        return answer(self._parts.watch.history.series(query.seconds, query.step, int(time.time())))

    async def retries(self, request: web.Request) -> web.Response:
        """What waits for another try; what the handler raised is told to who has the token."""
        query, content = _query(request, RetriesQuery), self._parts.guard.is_authorized(request)
        schedule = self._parts.retries

        def work() -> dict[str, Any]:
            found = [_waiting(each, content=content) for each in islice(schedule, query.limit)]
            return {"total": len(schedule), "content": content, "retries": found}

        return answer(await self._run(work))

    async def letters(self, request: web.Request) -> web.Response:
        """A page of dead letters."""
        query, content = _query(request, LettersQuery), self._parts.guard.is_authorized(request)
        wanted = LetterFilter(**{name: getattr(query, name) for name in LetterFilter.__struct_fields__})
        search = Search(wanted, query.limit, query.before, query.q)
        return answer(await self._run(lambda: self._parts.letters.page(search, content=content)))

    async def letter(self, request: web.Request) -> web.Response:
        """One dead letter and its mail."""
        self._parts.guard.require_token(request)
        return answer(await self._run(partial(self._parts.letters.view, request.match_info["id"])))

    async def replay(self, request: web.Request) -> web.Response:
        """Give dead letters to the handler again."""
        return await self._change(request, self._parts.letters.replay)

    async def remove(self, request: web.Request) -> web.Response:
        """Remove dead letters for good."""
        return await self._change(request, self._parts.letters.remove)

    async def _change(self, request: web.Request, change: Callable[[Which], dict[str, Any]]) -> web.Response:
        which = await _body(request, Which)
        done = await self._run(lambda: change(which))
        _log.warning("%s by %s: %s", request.path, request.remote, done)
        return answer(done)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The mail of a letter, byte for byte, as a file that no browser shows."""
        letter = await _body(request, Letter)
        file = await self._run(lambda: self._parts.letters.open(letter.id))
        try:
            return await self._send(request, letter.id, file)
        finally:
            file.close()

    async def _send(self, request: web.Request, name: str, file: BinaryIO) -> web.StreamResponse:
        # The name is one of digits and a hyphen, or `open` would have refused it.
        headers = {
            "Content-Type": "message/rfc822",
            "Content-Disposition": f'attachment; filename="{name}.eml"',
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        while chunk := await self._run(lambda: file.read(_CHUNK_BYTES)):
            await asyncio.wait_for(response.write(chunk), BODY_TIMEOUT_S)
        await response.write_eof()
        return response


def _waiting(waiting: Waiting, *, content: bool) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.structs.asdict(waiting)
    if not content:
        facts["error"] = waiting.error.partition(":")[0]
    return facts


def _query(request: web.Request, kind: type[T]) -> T:
    """The query of a request; raises Refused for one that is not as `kind` says."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(400, "wrong_query", str(error), "GET /api lists what may be asked") from None


async def _body(request: web.Request, kind: type[T]) -> T:
    """The body of a request; raises Refused for one that is not as `kind` says."""
    try:
        body = await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
        return msgspec.json.decode(body, type=kind)
    except TimeoutError:
        raise Refused(408, "too_slow", "the body did not arrive in time", "send it again") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "wrong_body", str(error), "GET /api lists what may be sent") from None
