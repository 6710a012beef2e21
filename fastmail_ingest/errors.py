"""The error tree and the exit codes: what can go wrong, and what a shell sees of it.

FastmailIngestError
├── ConfigError            the configuration or the command line is wrong         exit 2
│   └── HandlerLoadError   the handler cannot be imported                         exit 2
├── UnavailableError       Redis, a server binary or a mail server is not there   exit 3
│   ├── StreamUnavailable  Redis does not answer
│   ├── SourceUnavailable  the mail server does not answer, or hung up
│   │   ├── MailboxRefused the mail server does not open this mailbox
│   │   ├── FetchRefused   the mail server does not give out these mails
│   │   ├── ServerBusy     the mail server says that it cannot serve us now
│   │   ├── LimitReached   the provider's limits for this account are used up
│   │   │   └── BudgetSpent    our own are, which is no matter of the account's
│   │   ├── TooManyConnections  the account has more connections than its server allows
│   │   └── TokenUnavailable  the token endpoint does not answer
│   ├── BlobUnavailable    the bytes of a large mail cannot be written, or are not there
│   └── CircuitOpen        a circuit breaker lets no call through for now
├── LoginRefused           mail server or token endpoint refuse the credentials   exit 3
│   ├── TokenRefused       it refused an access token: a fresh one may do
│   └── GrantRevoked       the permission behind the tokens is gone: a human must give it anew
├── StartupFailed          the handler's startup hook raised again and again      exit 4
├── ProtocolError          a peer sent what its protocol does not allow           exit 3
├── ArchiveError           a file or folder cannot be imported, or no further       exit 1
│   └── ArchiveChanged     it is no longer what it was when it was last read
├── BackupError            a backup cannot be made, or is not whole                 exit 1
│   └── UncheckedSnapshot  nobody could read it to its end: it may be whole
└── UndecodableEntry       a stream entry that is not ours, or of a newer version

Retry, Reject              raised by a handler: outcomes, not failures of ours
└── SinkUnavailable        a Retry, and a ConnectionError for the breaker: nobody takes the mail now
"""

from datetime import timedelta
from typing import TypeVar

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_ROLE_FAILED = 4
EXIT_DRAIN_CUT_SHORT = 5


class FastmailIngestError(Exception):
    """Anything this package raises on purpose; `exit_code` is what a command ends with."""

    exit_code = EXIT_FAILURE


class ConfigError(FastmailIngestError):
    """The configuration or the command line is wrong; the message names place and remedy."""

    exit_code = EXIT_USAGE


class HandlerLoadError(ConfigError):
    """The configured handler cannot be imported or is not a handler."""


class UnavailableError(FastmailIngestError):
    """Something outside that we need is not there (now)."""

    exit_code = EXIT_UNAVAILABLE


class StreamUnavailable(UnavailableError):
    """Redis does not answer, or refuses us."""


class SourceUnavailable(UnavailableError):
    """A mail server does not answer, hung up, or says it cannot serve now.

    `retry_after_s` is how long it wants to be left alone; 0.0 if it did not say.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MailboxRefused(SourceUnavailable):
    """The mail server does not open this mailbox; others of the account are not concerned."""


class FetchRefused(SourceUnavailable):
    """The mail server said NO to the FETCH of some mails; the connection is good."""


class ServerBusy(SourceUnavailable):
    """The mail server says that it cannot serve us now; nothing that was asked for is to blame."""


class LimitReached(SourceUnavailable):
    """The account has used up what its provider allows; it must rest, for hours if nothing else is said."""


class BudgetSpent(LimitReached):
    """The bytes that we allow ourselves in a day (`daily_bytes`) are used up; the account is well."""


class TooManyConnections(SourceUnavailable):
    """The account has more connections than its server allows, ours and those of other programs together."""


class TokenUnavailable(SourceUnavailable):
    """No access token could be had now: the token endpoint does not answer, or not sensibly."""


class BlobUnavailable(UnavailableError):
    """The bytes of a large mail cannot be written where they are kept, or are not there."""


class CircuitOpen(UnavailableError):
    """The circuit breaker `name` lets no call through; it tries again in `retry_in_s` seconds."""

    def __init__(self, name: str, retry_in_s: float) -> None:
        # Both as args: an exception on its way out of another process is made anew from those.
        super().__init__(name, retry_in_s)
        self.name = name
        self.retry_in_s = retry_in_s

    def __str__(self) -> str:
        return f'the circuit breaker "{self.name}" is open; it tries again in {self.retry_in_s:.1f} s'


class LoginRefused(FastmailIngestError):
    """The mail server or the token endpoint refused the credentials; to ask with the same again is no use."""

    exit_code = EXIT_UNAVAILABLE


class TokenRefused(LoginRefused):
    """The mail server refused an access token; a fresh one may do."""


class GrantRevoked(LoginRefused):
    """The permission behind the tokens is not there (any more): only a human can give it anew.

    To find it out again asks no server.
    """


class StartupFailed(FastmailIngestError):
    """The handler's startup hook raised again and again, in a run that does not wait for ever."""

    exit_code = EXIT_ROLE_FAILED


class ProtocolError(FastmailIngestError):
    """A peer sent what its protocol does not allow."""

    exit_code = EXIT_UNAVAILABLE


class ArchiveError(FastmailIngestError):
    """A file or folder that is to be imported is no archive of mails, or cannot be read on."""


class ArchiveChanged(ArchiveError):
    """An archive is no longer what it was when it was last read: it must be read from its beginning."""


class BackupError(FastmailIngestError):
    """A backup cannot be made, is not whole, or cannot be put back."""


class UncheckedSnapshot(BackupError):
    """A snapshot was not read to its end, for want of memory, time or a server that knows its format.

    It may well be whole.
    """


class UndecodableEntry(FastmailIngestError):
    """A stream entry that this version cannot read: foreign, damaged, or newer."""


class Retry(Exception):
    """Raised by a handler: try this mail again, after `after` seconds (or a timedelta) if given."""

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Reject(Exception):
    """Raised by a handler: this mail can never be handled; it goes to the dead letters at once."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class SinkUnavailable(Retry, ConnectionError):
    """Raised by a handler in the box: what it hands mails to cannot take this one now.

    By its bases it is tried again, after `after` seconds if given, and counts for `[breaker] errors`.
    """


_Error = TypeVar("_Error", bound=BaseException)
_TOLD = "_fastmail_ingest_told"


def telling(error: _Error, words: str) -> _Error:
    """Let the log say these words of an exception. They quote no mail; what it says itself may."""
    vars(error)[_TOLD] = words
    return error


def told(error: BaseException) -> str:
    """What the log may say of an exception that a handler's call raised; empty is its class alone.

    What a handler says by Retry or Reject is said to be read, and what we say we have looked at. All else may
    quote the mail: a parser that was given its text, a database that shows the row.
    """
    words = vars(error).get(_TOLD)
    if words is None and isinstance(error, FastmailIngestError | Retry | Reject):
        return str(error)
    return words or ""
