"""The end of a consent: what the browser brings back to us, over loopback or by copy and paste."""

import queue
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from fastmail_ingest.errors import LoginRefused

_IDLE_S = 5.0  # browsers open connections that they never use
_CODE = re.compile(r"[A-Za-z0-9/_.~+%-]{4,2048}")
# Google's codes for installed apps begin so; any other word is not to be sent to it.
_CODE_ALONE = re.compile(r"4(?:/|%2[Ff])[A-Za-z0-9/_.~+%-]{2,2046}")
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>fastmail-ingest</title><p>{}"
    "<p>You may close this page and go back to the terminal.\n"
)


class NotTheAnswer(Exception):
    """What came is not the end of this consent; the text says what is wrong with it."""


def code_in(text: str, state: str) -> str:
    """The authorization code in an address, in its query, or the code itself, as Google makes them.

    Raises NotTheAnswer, and LoginRefused if the user or the provider said no.
    """
    text = text.strip()
    query = urlsplit(text).query or text
    given = {key: values[0] for key, values in parse_qs(query).items()}
    if not {"code", "error"} & given.keys():
        # A code alone is bound to our request, too: by the PKCE verifier (RFC 7636).
        if _CODE_ALONE.fullmatch(text):
            return unquote(text)
        raise NotTheAnswer(
            "there is no code in it; paste the whole address that the browser ended at "
            "(http://127.0.0.1:...), or the code alone (4/...)"
        )
    if not secrets.compare_digest(given.get("state", "").encode(), state.encode()):
        raise NotTheAnswer("it is the answer to another request; use the address that was just opened")
    if "error" in given:
        word = "".join(char for char in given["error"][:60] if char.isalnum() or char in "_- ")
        raise LoginRefused(f"the consent was not given ({word}). remedy: start again, and allow the access")
    if _CODE.fullmatch(given["code"]) is None:
        raise NotTheAnswer("its code is none")
    return given["code"]


class Listener:
    """A web server on 127.0.0.1 that hears of one consent (RFC 8252 7.3)."""

    def __init__(self) -> None:
        self._state = ""
        self._found: queue.SimpleQueue[str | LoginRefused] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to be sent in the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def listening(self, state: str) -> Iterator[None]:
        """Answer requests; only one with this `state` counts."""
        self._state = state
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()

    def close(self) -> None:
        """Free the port."""
        self._server.server_close()

    def code(self, timeout_s: float) -> str:
        """The authorization code. Raises LoginRefused if none comes in time, or the answer is no."""
        try:
            found = self._found.get(timeout=timeout_s)
        except queue.Empty:
            raise LoginRefused(
                f"no answer from the browser in {timeout_s / 60:.0f} minutes. remedy: start again; where no "
                "browser can reach this machine, with --no-browser"
            ) from None
        if isinstance(found, LoginRefused):
            raise found
        return found

    def _hear(self, query: str) -> tuple[HTTPStatus, str]:
        try:
            self._found.put(code_in(f"?{query}", self._state))
        except NotTheAnswer:
            # Any page may send a browser here; it must neither end nor forge the consent.
            return HTTPStatus.BAD_REQUEST, "This is not the answer that is waited for."
        except LoginRefused as error:
            self._found.put(error)
            return HTTPStatus.OK, "The access was not allowed."
        return HTTPStatus.OK, "The access was allowed."

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hear = self._hear

        class Handler(BaseHTTPRequestHandler):
            timeout = _IDLE_S

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                if address.path != "/" or not address.query:
                    self.send_error(HTTPStatus.NOT_FOUND)  # a browser's favicon.ico
                    return
                status, words = hear(address.query)
                body = _PAGE.format(words).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """The request line holds the code: it has no way into a log."""

        return Handler
