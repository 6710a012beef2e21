"""The handler "postgres": a row for each mail in a PostgreSQL table."""

import threading
from collections.abc import Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fastmail_ingest.config.boxed_files import PostgresConfig
from fastmail_ingest.errors import HandlerLoadError, telling
from fastmail_ingest.handler.postgres_table import Rows, Table
from fastmail_ingest.handler.record import Enclosed, enclosed_in, record_of
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.handler import batch_handler

_CONNECT_TIMEOUT_S = 10
# A server that is gone without a word must not hold a worker for the hours that TCP would wait.
_TCP_TIMEOUT_MS = 30_000
_KEEPALIVE_S = 10
# A standby, a table that somebody dropped, a right that was taken away: of no mail more than of another.
_NO_MAIL_IS_TO_BLAME = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InsufficientPrivilege,
)


class Postgres:
    """Writes one row a mail into `[postgres] table`, and its attachments into a second table if wanted.

    Guarantee: exactly one row a mail, whoever is killed whenever: `id` is the primary key, and a batch of
    mails is one transaction, attachments included. A mail is done when PostgreSQL has committed its row.
    While the database is down, OperationalError opens the circuit breaker and mails wait, none is blamed.
    NUL characters, which PostgreSQL takes in no text, become U+FFFD.
    """

    def __init__(self, section: PostgresConfig) -> None:
        _check_url(section.url)
        self._section = section
        self._table = Table(section.table)
        self._connection: psycopg.Connection | None = None
        self._lock = threading.Lock()

    def startup(self) -> None:
        """Connect, and make the tables; raises ConfigError or psycopg.Error."""
        with self._lock:
            self._connected()

    def shutdown(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    @batch_handler
    def __call__(self, emails: Sequence[Email]) -> None:
        """Write the rows of mails that have none yet; committed when it returns."""
        # In one order for all: two batches that wait for each other's rows would be a deadlock.
        ordered = sorted(emails, key=lambda email: email.id)
        rows = [(record_of(email), self._raw(email)) for email in ordered]
        enclosed = {row.id: self._enclosed(email) for (row, _), email in zip(rows, ordered, strict=True)}
        with self._lock:
            self._write_patiently(rows, enclosed)

    def _write_patiently(self, rows: Rows, enclosed: dict[str, list[Enclosed]]) -> None:
        kept = self._connection is not None
        try:
            self._write(rows, enclosed)
        except psycopg.OperationalError:
            # A connection that was kept may have died in peace, by a restart of the server say. To write
            # again is safe even if the server has done it: the key keeps a second time from counting.
            if not kept or self._connection is not None:
                raise
            self._write(rows, enclosed)

    def _write(self, rows: Rows, enclosed: dict[str, list[Enclosed]]) -> None:
        try:
            connection = self._connected()
            with connection.transaction():
                self._table.insert(connection, rows, enclosed)
        except _NO_MAIL_IS_TO_BLAME as error:
            self._close()  # after a failover there is another server behind the same name
            words = (
                f"[postgres] {' '.join(str(error).split())}. remedy: see that url leads to the server that "
                "takes writes, and that the user may write to its tables; mails wait meanwhile"
            )
            raise telling(psycopg.OperationalError(words), words) from error
        finally:
            if self._connection is not None and (self._connection.closed or self._connection.broken):
                self._close()

    def _connected(self) -> psycopg.Connection:
        if self._connection is not None:
            return self._connection
        connection = self._connect()
        try:
            self._table.make(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _connect(self) -> psycopg.Connection:
        try:
            return psycopg.connect(
                self._section.url,
                autocommit=True,
                application_name="fastmail-ingest",
                client_encoding="UTF8",
                connect_timeout=_CONNECT_TIMEOUT_S,
                tcp_user_timeout=_TCP_TIMEOUT_MS,
                keepalives_idle=_KEEPALIVE_S,
                keepalives_interval=_KEEPALIVE_S,
                password=self._section.password or None,
            )
        except psycopg.OperationalError as error:
            words = (
                f"[postgres] url: {' '.join(str(error).split())}. remedy: start the server, or correct url, "
                "password_file or PG... in the environment"
            )
            raise telling(type(error)(words), words) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _raw(self, email: Email) -> bytes | None:
        return email.raw if self._section.raw else None

    def _enclosed(self, email: Email) -> list[Enclosed]:
        return enclosed_in(email) if self._section.attachments else []


def _check_url(url: str) -> None:
    """Raise HandlerLoadError for what libpq would complain of with parts of a password in its words."""
    try:
        said = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        said = {"port": "unreadable"}
    port = str(said.get("port", "5432"))
    if "@" in str(said.get("host", "")) or not port.replace(",", "").isdigit():
        raise HandlerLoadError(
            "[postgres] url (not shown) cannot be read, or has an unencoded @, : or / in its password. "
            'remedy: write url = "postgresql://user@host:5432/database", and the password into password_file'
        )
