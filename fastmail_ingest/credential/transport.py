"""HTTPS to token endpoints: one deadline for the whole, an end to the size, no redirects, nothing in logs."""

import io
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

# For one request, and for all requests of a renewal together with the waits between them.
DEADLINE_S = 20.0
ANSWER_BYTES_MAX = 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_TOO_LATE = "no answer in time"

# Their debug logs hold whole requests, and msal logs as an error any answer that it cannot read.
for _name in ("google", "google_auth_oauthlib", "oauthlib", "requests_oauthlib", "msal", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class _Guarded(HTTPAdapter):
    """Carries requests out until `deadline_s` from now has passed."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__()
        self._deadline = time.monotonic() + deadline_s

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Raises a RequestException; the answer is read as a whole, whatever `stream` says."""
        left_s = min(self._deadline - time.monotonic(), DEADLINE_S)
        if left_s <= 0:
            raise _too_late()
        done: Future[requests.Response] = Future()

        def transfer() -> None:
            try:
                answer = super(_Guarded, self).send(request, True, left_s, verify, cert, proxies)
                done.set_result(self._whole(request, answer))
            except BaseException as error:
                done.set_exception(error)

        # The timeout of requests starts anew with each byte: a peer that drips would hold us for hours. The
        # thread that is left behind ends with the next pause of the peer, or with the process.
        threading.Thread(target=transfer, daemon=True, name="token-endpoint").start()
        try:
            return done.result(left_s)
        except TimeoutError:
            raise _too_late() from None

    def _whole(self, request: requests.PreparedRequest, answer: requests.Response) -> requests.Response:
        if answer.is_redirect:
            raise requests.TooManyRedirects("it redirects to another page, as no token endpoint does")
        body = bytearray()
        for block in answer.iter_content(_BLOCK_BYTES):
            body += block
            if len(body) > ANSWER_BYTES_MAX:
                raise requests.RequestException(f"it sends more than {ANSWER_BYTES_MAX} bytes")
            if time.monotonic() > self._deadline:
                raise _too_late()
        kept = {key: value for key, value in answer.headers.items() if key.lower() == "content-type"}
        raw = urllib3.HTTPResponse(
            io.BytesIO(bytes(body)), kept, answer.status_code, reason=answer.reason, preload_content=False
        )
        return self.build_response(request, raw)


def _too_late() -> requests.Timeout:
    return requests.Timeout(_TOO_LATE)


def guard(session: requests.Session, deadline_s: float = DEADLINE_S) -> requests.Session:
    """Make a session good for the requests of the next `deadline_s` seconds, by https only."""
    session.adapters.clear()
    session.mount("https://", _Guarded(deadline_s))
    return session


def session(deadline_s: float = DEADLINE_S) -> requests.Session:
    """A new session of that kind. Trusts the authorities in REQUESTS_CA_BUNDLE, as requests does."""
    return guard(requests.Session(), deadline_s)


def unanswered(error: BaseException) -> str:
    """In words: that no answer was had, why, and what to do."""
    return (
        f"the token endpoint does not answer: {reason(error)}. remedy: check network, proxy and DNS; a "
        "running supervisor tries again by itself"
    )


def reason(error: BaseException) -> str:
    """Why a request failed, in the words of the innermost error: those around it repeat the whole URL."""
    while True:
        if isinstance(error, requests.Timeout):
            return _TOO_LATE
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None:
            return str(error) or type(error).__name__
        error = inner
