"""Who may ask for what: names of this server, origins of pages, the token, and headers on every answer."""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from fastmail_ingest.admin.answers import Refused
from fastmail_ingest.config import AdminConfig

_log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
API = "/api/"
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SEND_IT = "send Authorization: Bearer and the token of [admin] token_file"
# A mail is an attack: nothing but our own files may run, load, frame us, or be sent to.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "fastmail-ingest",  # and no version
}


def protect(response: web.StreamResponse) -> None:
    """Add what every answer has."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


async def add_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """For aiohttp's on_response_prepare."""
    protect(response)


class Guard:
    """Decides on requests before anybody works for them."""

    def __init__(self, admin: AdminConfig) -> None:
        self._token = admin.token.encode()
        self._names = {"localhost", admin.host.lower(), *(name.lower() for name in admin.allowed_hosts)}

    @property
    def has_token(self) -> bool:
        """Whether anything may be changed, or mails be seen, at all."""
        return bool(self._token)

    def is_authorized(self, request: web.Request) -> bool:
        """Whether the request carries the token (RFC 6750 2.1); a wrong one is refused."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._token:
            return False
        # Bytes, because compare_digest takes no other text than ASCII; a client may send any.
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token):
            _log.warning("a wrong token from %s for %s %s", request.remote, request.method, request.path)
            raise Refused(401, "wrong_token", "the token is not the one of this server", _SEND_IT)
        return True

    def require_token(self, request: web.Request) -> None:
        """Refuse a request without the token."""
        if not self.has_token:
            remedy = "set [admin] token_file, and start anew or send HUP"
            raise Refused(403, "no_token_set", "without a token nobody may do this", remedy)
        if not self.is_authorized(request):
            raise Refused(401, "token_needed", "this needs the token", _SEND_IT)

    def check(self, request: web.Request) -> None:
        """Refuse what comes by a name that is not ours, or from a page of somebody else."""
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            remedy = "call it by its address, or add the name to [admin] allowed_hosts"
            raise Refused(421, "unknown_host", "this server does not have the name in Host", remedy)
        changes = request.method not in _SAFE_METHODS
        if not (changes or request.path.startswith(API)):
            return
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
        if (origin is not None and _host_of(origin) != host.lower()) or site not in {"same-origin", "none"}:
            _log.warning(
                "%s %s from another site (%s) is refused", request.method, request.path, request.remote
            )
            remedy = "open the dashboard of this server itself"
            raise Refused(403, "cross_site", "requests from pages of other sites are refused", remedy)
        if changes:
            self.require_token(request)
            if request.content_type != "application/json":
                remedy = "send Content-Type: application/json"
                raise Refused(415, "not_json", "expected a body in JSON", remedy)

    def _is_ours(self, host: str) -> bool:
        """An address is no name: who makes a browser come by it has not rebound any."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.rstrip(".") in self._names:
            return True
        try:
            return bool(ip_address(name))
        except ValueError:
            return False

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check, handle, and answer every refusal and failure in the same form."""
        began = time.monotonic()
        try:
            self.check(request)
            response = await handler(request)
        except Refused as refused:
            response = refused.answer()
        except web.HTTPException as error:
            response = _in_our_form(error)
        except TimeoutError:
            response = Refused(504, "too_slow", "Redis did not answer in time", "see /ready").answer()
        except (ConnectionError, web.RequestPayloadError):
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            response = Refused(500, "failed", "this failed; the log says why", "see the log").answer()
        took_ms = (time.monotonic() - began) * 1000
        # Never the query: nothing secret belongs there, and so somebody will put it there.
        _log.debug(
            "%s %s %s %d %.1f ms", request.remote, request.method, request.path, response.status, took_ms
        )
        return response


def _host_of(origin: str) -> str:
    """Host and port of an origin; empty for one that is none, as "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _in_our_form(error: web.HTTPException) -> web.Response:
    names = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    remedy = {404: "GET /api lists what there is", 405: "see the header Allow"}.get(error.status, "send less")
    refused = Refused(error.status, names.get(error.status, "refused"), error.reason, remedy)
    response = refused.answer()
    if allow := error.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response
