"""The handler `webhook`: each mail is a signed HTTP request to a service of yours."""

import asyncio
import errno
import socket
import ssl
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec
import yarl

from fastmail_ingest.config import Config
from fastmail_ingest.config.section import DAY_S
from fastmail_ingest.errors import HandlerLoadError, Reject, SinkUnavailable, telling
from fastmail_ingest.handler import signature
from fastmail_ingest.handler.document import MailDocument, document_of
from fastmail_ingest.handler.public_address import is_public
from fastmail_ingest.model.email import Email

ANSWER_BYTES = 4096  # read of an answer; one that goes on costs its connection
ANSWER_CHARS = 200  # shown of an answer that refuses a mail
ANSWER_WAIT_S = 2.0  # for the rest of an answer whose status is known
# What may be wrong with the request that one mail makes (RFC 9110). Of all else, be it 401 for an old
# secret or 404 for a service that has moved, no mail is guilty.
_MAIL_IS_TO_BLAME = frozenset({400, 413, 415, 422})
_REMEDIES = {
    401: "give the receiver the secret of secret_file, or correct url",
    403: "give the receiver the secret of secret_file, or correct url",
    404: "correct url, or start what answers there",
    405: "correct url: what answers there takes no POST",
    # By the Standard Webhooks specification it wants no more: whoever operates us must know, and decide.
    410: "it wants no more mails: take webhook out of [handler], or correct url",
    429: "nothing, mails wait; less at once: [handler] concurrency",
}


class Event(msgspec.Struct, frozen=True):
    """The body of a request, in the form that Standard Webhooks recommends."""

    type: str
    timestamp: datetime
    data: MailDocument


class Webhook:
    """Sends each mail by POST to `[webhook] url`; done when the answer's status is 2xx.

    Guarantee: at least once. The same mail always has the same `webhook-id` and `Idempotency-Key`: a receiver
    that keeps those takes it once. 400, 413, 415 and 422 make the mail a dead letter with the answer's
    beginning. Any other status and network errors mean later (Retry-After is honoured), and open the breaker.
    """

    def __init__(self, config: Config) -> None:
        """Raises HandlerLoadError for settings that cannot work."""
        section = config.webhook
        if not section.url:
            raise HandlerLoadError(
                '[webhook] url is not set. remedy: write url = "https://..." below [webhook]'
            )
        url = _address(section.url)
        if url.scheme == "http" and not section.allow_private:
            raise HandlerLoadError(
                "[webhook] url: http:// would show mails to everybody on the way. remedy: write https://, or "
                "allow_private = true for a receiver in your own network"
            )
        self._section = section
        self._url = url
        self._origin = str(url.origin())  # the rest of the URL may be a password
        self._is_tls = url.scheme == "https"
        self._secrets = signature.secrets_of(section.secret)
        self._tls = _tls(section.tls_ca_file)
        self._connections = config.handler.concurrency
        self._encoder = msgspec.json.Encoder()
        self._session: aiohttp.ClientSession | None = None

    async def startup(self) -> None:
        """Make the pool of connections; nothing is connected yet."""
        section = self._section
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=self._tls, socket_factory=self._socket
            ),
            timeout=aiohttp.ClientTimeout(
                total=section.total_timeout, connect=section.connect_timeout, sock_read=section.read_timeout
            ),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "fastmail-ingest",
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # an answer of a few bytes must not become one of gigabytes
        )

    async def shutdown(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __call__(self, email: Email) -> None:
        """Send a mail; raises SinkUnavailable if it is to come again, Reject if it is refused."""
        if self._session is None:
            await self.startup()
        event = Event("mail.received", email.fetched_at, document_of(email, self._section))
        body = self._encoder.encode(event)
        name = signature.message_id(email.id)
        headers = signature.headers(self._secrets, name, time.time(), body)
        headers["Idempotency-Key"] = name
        if email.traceparent:
            headers["traceparent"] = email.traceparent
        try:
            await self._send(body, headers)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, SinkUnavailable):
                raise
            # Not chained: the client's own words may hold the whole URL.
            words = f"[webhook] {self._origin}: {_words(error)}"
            remedy = "" if "remedy: " in words else ". remedy: start the receiver, or correct [webhook]"
            raise SinkUnavailable(words + remedy) from None

    async def _send(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self._send_once(body, headers)
        except aiohttp.ServerDisconnectedError:
            # A connection that was kept may be closed by the other side just when it is used again; the id
            # makes it harmless if this request did arrive.
            await self._send_once(body, headers)

    async def _send_once(self, body: bytes, headers: dict[str, str]) -> None:
        session: Any = self._session
        async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            beginning = await _beginning(response)
            self._judge(response, beginning)

    def _judge(self, response: aiohttp.ClientResponse, beginning: str) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        answer = f"[webhook] {self._origin} answered {status}"
        if 300 <= status < 400:
            raise SinkUnavailable(
                f"{answer}: redirects are not followed. remedy: write the address it leads to into url"
            )
        said = f"{answer}: {beginning}" if beginning else answer
        if status in _MAIL_IS_TO_BLAME:
            raise telling(Reject(said), answer)  # the rest may quote the mail
        remedy = _REMEDIES.get(status, "the receiver's log says why; mails wait")
        after = _wanted_wait_s(response.headers.get("Retry-After", ""))
        raise telling(
            SinkUnavailable(f"{said}. remedy: {remedy}", after=after), f"{answer}. remedy: {remedy}"
        )

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that a connection is about to be made to, unless it may not be.

        Here and not where names are looked up: a name may lead elsewhere a moment later.
        """
        family, kind, protocol, _, address = info
        public = is_public(str(address[0]))
        if not public and not self._section.allow_private:
            raise PermissionError(
                errno.EACCES, f"{address[0]} is no public address. remedy: allow_private = true"
            )
        if public and not self._is_tls:
            raise PermissionError(
                errno.EACCES, f"{address[0]} is a public address. remedy: write https:// into url"
            )
        return socket.socket(family, kind, protocol)


def _address(text: str) -> yarl.URL:
    """The address as the client will read it; raises HandlerLoadError for one that nothing can be sent to."""
    try:
        url = yarl.URL(text)
        (url.raw_host or "").encode("idna")  # as the resolver will do
    except ValueError as error:  # UnicodeError is one, too
        wrong = str(error).rstrip(".")
    else:
        if url.raw_host and url.port:
            return url
        wrong = "it needs a host, and a port of 1 to 65535 if any"
    raise HandlerLoadError(
        f"[webhook] url: nothing can be sent there: {wrong}. remedy: write it as in "
        "https://api.example.com:8443/mails"
    )


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise HandlerLoadError(
            f"[webhook] tls_ca_file: {ca_file} cannot be used: {error}. remedy: name a readable PEM file"
        ) from error


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The first printable characters of an answer; whatever happens to the rest, its status stands."""
    found = bytearray()
    if response.content.at_eof():
        return ""
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            while len(found) < ANSWER_BYTES and (part := await response.content.read(ANSWER_BYTES)):
                found += part
    except (aiohttp.ClientError, OSError):
        pass
    if not response.content.at_eof():
        response.close()  # unread bytes would be taken for the next answer
    text = "".join(char if char.isprintable() else " " for char in found.decode("utf-8", "replace"))
    return " ".join(text.split())[:ANSWER_CHARS]


def _wanted_wait_s(value: str) -> float | None:
    """Retry-After (RFC 9110, 10.2.3), seconds or a date, at most a day; None if it says nothing."""
    if value.isascii() and value.isdigit():
        return min(float(value), DAY_S)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), DAY_S)
    except (ValueError, TypeError, OverflowError):
        return None


def _words(error: Exception) -> str:
    """What went wrong, in words that hold no URL."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            words = f"its certificate cannot be trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorDNSError():
            words = f"its name cannot be looked up: {error.os_error.strerror}"
        case aiohttp.ClientConnectorError():
            words = f"cannot connect: {error.os_error.strerror or error.os_error}"
        case TimeoutError():
            words = "no answer in time"
        case aiohttp.ClientResponseError():
            # What follows a 204 would be the next answer (RFC 9112, 6.3).
            words = "its answer breaks HTTP: a body behind 204, or no HTTP at all"
        case aiohttp.ServerDisconnectedError():
            words = "it hung up without an answer"
        case _:
            words = type(error).__name__
    return words
