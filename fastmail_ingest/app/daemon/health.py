"""`health`: asks a supervisor's HTTP server whether all is well; for containers and for monitoring."""

import http.client
import sys
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from fastmail_ingest.config import AdminConfig
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, ConfigError
from fastmail_ingest.model.printable import clean

PATH = "/ready"
_ANSWER_BYTES_MAX = 16 << 20  # /status of a thousand mailboxes and processes is 0.5 MB

T = TypeVar("T")


class Reason(msgspec.Struct):
    """Why it is not ready, as /ready says it."""

    name: str = "unknown"
    about: str = ""
    message: str = ""
    remedy: str = ""


class Ready(msgspec.Struct):
    """What /ready answers."""

    ready: bool
    reasons: list[Reason] = []


class NoAnswer(Exception):
    """Nobody listens, or not one who answers as our own server does."""


def url_of(admin: AdminConfig) -> str:
    """Where this machine reaches the server of [admin]. Raises ConfigError if there is none."""
    if not admin.port:
        raise ConfigError("[admin] port: 0 is no HTTP, so there is nobody to ask. remedy: port = 8080")
    try:
        address = ip_address(admin.host)
    except ValueError:
        return f"http://{admin.host}:{admin.port}"
    if address.is_unspecified:  # it listens everywhere; we are here
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    host = str(address) if address.version == 4 else f"[{address}]"
    return f"http://{host}:{admin.port}"


def health(url: str, timeout_s: float, *, as_json: bool) -> int:
    """Ask, print, and return 0 if all is well, 1 if it is not, 2 if nobody answers; fit for Nagios."""
    try:
        answer = ask(url, timeout_s)
        state, reasons = "ready" if answer.ready else "not ready", answer.reasons
    except NoAnswer as error:
        remedy = "start it, or correct --url; its log says why it ended"
        state, reasons = "no answer", [Reason("no_answer", url, str(error), remedy)]
    if as_json:
        body = {"state": state.replace(" ", "_"), "url": url, "reasons": reasons}
        sys.stdout.write(msgspec.json.encode(body).decode() + "\n")
    else:
        for line in (f"{state}: {_counted(reasons)}" if reasons else state, *map(_in_one_line, reasons)):
            sys.stdout.write(clean(line) + "\n")
    return {"ready": EXIT_OK, "not ready": EXIT_FAILURE}.get(state, EXIT_USAGE)


def ask(url: str, timeout_s: float) -> Ready:
    """What the server at `url` answers. Raises NoAnswer, ConfigError for a wrong URL."""
    return fetch(url, PATH, Ready, timeout_s)


def fetch(url: str, path: str, kind: type[T], timeout_s: float) -> T:
    """The document at `path` of the server at `url`. Raises NoAnswer, ConfigError for a wrong URL."""
    host, port = _host_and_port(url)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        status, body = response.status, response.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        raise NoAnswer(f"{path} is answered with {status}, and not as fastmail-ingest does") from None


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass  # a port that is none
    raise ConfigError(f"--url: expected http://HOST:PORT, got {url!r}. remedy: http://127.0.0.1:8080")


def _counted(reasons: list[Reason]) -> str:
    return f"{len(reasons)} reason{'s' if len(reasons) > 1 else ''}"


def _in_one_line(reason: Reason) -> str:
    about = f" {reason.about}" if reason.about else ""
    remedy = f". remedy: {reason.remedy}" if reason.remedy else ""
    return f"{reason.name}{about}: {reason.message}{remedy}"
