"""One logged-in connection to a mail server, and what its failures mean."""

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Protocol

import imapclient
import imapclient.exceptions

from fastmail_ingest.config import Account
from fastmail_ingest.errors import (
    FastmailIngestError,
    FetchRefused,
    LimitReached,
    LoginRefused,
    ProtocolError,
    ServerBusy,
    SourceUnavailable,
    TokenRefused,
    TooManyConnections,
)
from fastmail_ingest.policy.refusal import Outcome, blames_the_mail, classify
from fastmail_ingest.source.bearer import OAUTHBEARER, XOAUTH2, Bearer
from fastmail_ingest.source.deflate import compress
from fastmail_ingest.source.wire import WiredClient, shown

CONNECT_TIMEOUT_S = 20.0
_VERSION = version("fastmail-ingest")
_NO_IMAP = re.compile("unexpected response|unterminated line")  # the words of imaplib

_log = logging.getLogger(__name__)


class Tokens(Protocol):
    """Where the access tokens of an account that logs in by OAuth2 come from."""

    def token(self) -> str:
        """A token that is good for some minutes yet. Raises GrantRevoked or TokenUnavailable."""
        ...

    def refused(self, token: str) -> None:
        """The mail server did not take this token: hand it out to nobody again."""
        ...


@contextmanager
def explained(account: Account) -> Iterator[None]:
    """Turn what imaplib, IMAPClient and the socket raise into our errors, with the server's name."""
    where = f"account {account.name} ({account.host}:{account.effective_port})"
    try:
        yield
    except FastmailIngestError as error:
        raise _with_place(where, error) from error
    except imapclient.exceptions.LoginError as error:
        raise _login_failed(where, account, error) from error
    except ssl.SSLCertVerificationError as error:
        raise SourceUnavailable(
            f"{where}: its certificate cannot be trusted: {error.verify_message}. remedy: correct host, "
            "or name the authority that signed it in tls_ca_file"
        ) from error
    except ssl.SSLError as error:
        raise SourceUnavailable(
            f'{where}: no TLS: {error}. remedy: check port and tls ("on" for 993, "starttls" for 143, '
            '"off" for a server on this machine)'
        ) from error
    except ConnectionRefusedError as error:
        raise SourceUnavailable(
            f'{where}: nothing listens there. remedy: check host and port (993 for tls = "on", else 143)'
        ) from error
    except socket.gaierror as error:
        raise SourceUnavailable(f"{where}: no such host ({error.strerror}). remedy: check host") from error
    except TimeoutError as error:
        raise SourceUnavailable(f"{where}: no answer in time") from error
    except imapclient.exceptions.IMAPClientAbortError as error:
        raise _broken_off(where, str(error)) from error
    except OSError as error:
        raise _by_words(f"{where}: {error or type(error).__name__}") from error
    except imapclient.exceptions.IMAPClientError as error:
        refused = _by_words(f"{where}: {_plain(error)}")
        raise refused if is_for_now(error) else ProtocolError(str(refused)) from error
    except Exception as error:
        # IMAPClient's parser raises many types on answers that are no IMAP; they are this server's fault
        # and must not end the watching of the others.
        _log.debug("%s", where, exc_info=True)
        raise ProtocolError(f"{where}: unexpected answer ({type(error).__name__}: {error})") from error


def _broken_off(where: str, text: str) -> FastmailIngestError:
    """imaplib gave up: the connection is lost, or what it heard is no IMAP."""
    if _NO_IMAP.search(text):
        return ProtocolError(
            f"{where}: what answers there speaks no IMAP: {shown(text.encode())}. remedy: check host and "
            "port; in a network with a login page, log in to it first"
        )
    return _by_words(f"{where}: {text}")


def _with_place(where: str, error: FastmailIngestError) -> FastmailIngestError:
    """The same error with the server's name; what a server said in hanging up or refusing may mean more."""
    text = f"{where}: {error}"
    if type(error) is SourceUnavailable or (type(error) is FetchRefused and not blames_the_mail(text)):
        return _by_words(text)
    error.args = (text,)
    return error


def _by_words(text: str) -> FastmailIngestError:
    """What it means that a server refused or hung up with these words; the policy knows them."""
    refusal = classify(text)
    if refusal.outcome is Outcome.SUSPEND:
        return LoginRefused(f"{text}. remedy: log in to the provider's web site and look what it wants")
    if refusal.too_many_connections:
        return TooManyConnections(text)
    if refusal.outcome is Outcome.REST:
        return LimitReached(text)
    kind = ServerBusy if refusal.outcome is Outcome.RETRY else SourceUnavailable
    return kind(text, refusal.retry_after_s)


def _login_failed(where: str, account: Account, error: Exception) -> FastmailIngestError:
    if is_for_now(error):
        return _by_words(f"{where}: no login now: {_plain(error)}")
    remedy = account.known.password_help or "many providers want an app password"
    return LoginRefused(
        f"{where}: login of {account.user} refused: {_plain(error)}. remedy: check user and password "
        f"({remedy}), and that IMAP is enabled for the account"
    )


def is_for_now(error: Exception) -> bool:
    """Whether a refusal says nothing about what was asked: the server is busy, or the connection broke."""
    # IMAPClient makes a LoginError of whatever ends a LOGIN, also of a connection that is lost.
    broken = isinstance(error.__context__, imapclient.exceptions.IMAPClientAbortError)
    return broken or is_said_for_now(str(error))


def is_said_for_now(text: str) -> bool:
    """Whether a server's words say that it may be asked again."""
    return classify(text).outcome in (Outcome.RETRY, Outcome.REST)


def _plain(error: Exception) -> str:
    """The server's words without the marks of a bytes literal that imaplib puts around them."""
    return re.sub(r"^b(['\"])(.*)\1$", r"\2", str(error))


def log_in(account: Account, timeout_s: float, tokens: Tokens | None = None) -> WiredClient:
    """Connect and log in, by a token if there are `tokens`.

    Raises LoginRefused, SourceUnavailable or ProtocolError.
    """
    with explained(account):
        # Before the connection: an account without a grant has nothing to say to its server.
        token = "" if tokens is None else tokens.token()
        context = None if account.tls == "off" else _tls_context(account.tls_ca_file)
        client = WiredClient(
            account.host,
            account.effective_port,
            context if account.tls == "on" else None,
            timeout_s,
            min(timeout_s, CONNECT_TIMEOUT_S),
        )
        try:
            if account.tls == "starttls" and context is not None:
                _start_tls(client, context)
            if tokens is None:
                client.login(account.user, account.password)
            else:
                _log_in_by_token(client, account, tokens, token)
            # RFC 9051 7.2.2: what a server can do may change with the login.
            client.capabilities()
            _introduce(client)
            if account.compress:
                compress(client)
        except BaseException:
            client.shutdown()
            raise
    return client


def _start_tls(client: WiredClient, context: ssl.SSLContext) -> None:
    """STARTTLS (RFC 9051 6.2.1). Raises ProtocolError where the server does not offer it."""
    try:
        client.starttls(context)
    except imapclient.exceptions.CapabilityError as error:
        raise ProtocolError(
            'it offers no STARTTLS. remedy: tls = "on" (port 993), or "off" for a server on this machine'
        ) from error


def _log_in_by_token(client: WiredClient, account: Account, tokens: Tokens, token: str) -> None:
    """XOAUTH2 (Google, Microsoft) or, where only that is offered, OAUTHBEARER (RFC 7628)."""
    bearer = client.has_capability("AUTH=OAUTHBEARER") and not client.has_capability("AUTH=XOAUTH2")
    exchange = Bearer(OAUTHBEARER if bearer else XOAUTH2, account.user, token)
    try:
        # Not oauth2_login: it answers the refusal, too, with the token.
        client.sasl_login(exchange.mechanism, exchange)
    except imapclient.exceptions.LoginError as error:
        if is_for_now(error):
            raise
        tokens.refused(token)
        status = f" (status {exchange.status})" if exchange.status else ""
        raise TokenRefused(
            f"login of {account.user} by access token refused: {_plain(error)}{status}"
        ) from error


def _introduce(client: WiredClient) -> None:
    """Say who we are (RFC 2971), as Google asks of clients; a server that does not listen loses nothing."""
    if not client.has_capability("ID"):
        return
    try:
        client.id_({"name": "fastmail-ingest", "version": _VERSION})
    except imapclient.exceptions.IMAPClientAbortError:
        raise
    except imapclient.exceptions.IMAPClientError as error:
        _log.debug("ID: %s", error)


@lru_cache(maxsize=64)
def _tls_context(ca_file: str) -> ssl.SSLContext:
    """Certificates and host names are verified; there is no switch to turn that off.

    One for all connections: each would hold the system's authorities anew, about 1 MB.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise SourceUnavailable(f"tls_ca_file {ca_file}: {error.strerror or error}") from error


def hang_up(client: WiredClient) -> None:
    """Close without waiting for the server: a goodbye is polite, a stuck goodbye is a hang."""
    try:
        client.shutdown()
    except OSError as error:
        _log.debug("closing a connection: %s", error)
