"""Answers in JSON. What strangers wrote in it is harmless: no control characters, and nothing a browser would
take for markup, even if it ended up in a page.
"""

from typing import Any

import msgspec
import orjson
from aiohttp import web

from fastmail_ingest.model.printable import clean_lines

JSON = "application/json"
_MARKUP = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))


def encode(value: object) -> bytes:
    """JSON of structs, dicts, lists and plain values."""
    text = orjson.dumps(_clean(msgspec.to_builtins(value)))
    for char, escaped in _MARKUP:
        text = text.replace(char, escaped)
    return text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else clean_lines(value)
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def answer(value: object, status: int = 200) -> web.Response:
    """A whole answer."""
    return web.Response(body=encode(value), status=status, content_type=JSON)


def encoded(body: bytes, status: int = 200) -> web.Response:
    """A whole answer that is JSON already."""
    return web.Response(body=body, status=status, content_type=JSON)


class Refused(Exception):
    """A request that is answered with an error: its status, a name for programs, a sentence, a remedy."""

    def __init__(self, status: int, name: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status, self.name, self.message, self.remedy = status, name, message, remedy

    def answer(self) -> web.Response:
        """What the client is told."""
        error = {"name": self.name, "message": self.message, "remedy": self.remedy}
        response = answer({"error": error}, self.status)
        if self.status == web.HTTPUnauthorized.status_code:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
