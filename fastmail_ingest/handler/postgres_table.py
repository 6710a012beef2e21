"""The tables of the handler "postgres": how they are made, and how rows come in."""

from collections.abc import Mapping, Sequence

import msgspec
import psycopg
from msgspec.structs import astuple
from psycopg import sql
from psycopg.types.json import Jsonb

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.handler.record import COLUMNS, Enclosed, Record
from fastmail_ingest.model.classification import Classification

_VERSION = 2
_OURS = "fastmail-ingest, schema version "
_MAILS = """CREATE TABLE {table} (
    id text PRIMARY KEY, account text NOT NULL, mailbox text NOT NULL, lane text NOT NULL,
    attempt integer NOT NULL, internal_date timestamptz, date timestamptz, sender text NOT NULL,
    sender_name text NOT NULL, "to" text[] NOT NULL, cc text[] NOT NULL, subject text NOT NULL,
    message_id text NOT NULL, text text NOT NULL, size bigint NOT NULL, flags text[] NOT NULL,
    labels text[] NOT NULL, classification jsonb, raw bytea)"""
# What makes the next version of an older one.
_UPGRADES = {1: "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS classification jsonb"}
_ATTACHMENTS = """CREATE TABLE {attachments} (
    mail text NOT NULL REFERENCES {table} (id) ON DELETE CASCADE, number integer NOT NULL,
    filename text NOT NULL, content_type text NOT NULL, content bytea NOT NULL,
    PRIMARY KEY (mail, number))"""
_COMMENT = "COMMENT ON TABLE {table} IS {words}"
_INSERT_MAIL = "INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"
_INSERT_ATTACHMENT = (
    "INSERT INTO {attachments} (mail, number, filename, content_type, content) "
    "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (mail, number) DO NOTHING"
)


Rows = Sequence[tuple[Record, bytes | None]]
"""Mails with their raw bytes, None if those are not kept."""


class Table:
    """`name` is a table or schema.table; its attachments are in a second one beside it."""

    def __init__(self, name: str) -> None:
        parts = name.split(".")
        self._name = name
        self._names = {
            "table": sql.Identifier(*parts),
            "attachments": sql.Identifier(*parts[:-1], f"{parts[-1]}_attachments"),
            "words": sql.Literal(f"{_OURS}{_VERSION}"),
            "columns": sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
            "places": sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)),
        }

    def make(self, connection: psycopg.Connection) -> None:
        """Make both tables if they are not there.

        Raises ConfigError for a table of somebody else and for a database that cannot hold every
        character, psycopg.Error for what the server refuses.
        """
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigError(
                f"[postgres] url: the database has the encoding {encoding}, which cannot hold every mail. "
                "remedy: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
        with connection.transaction():
            # Workers begin together, and IF NOT EXISTS is no protection against that.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"{_OURS}{self._name}",))
            version = self._version(connection)
            if version == 0:
                for statement in (_MAILS, _ATTACHMENTS, _COMMENT):
                    connection.execute(self._with_names(statement))
            elif version < _VERSION:
                self._upgrade(connection, version)

    def insert(
        self,
        connection: psycopg.Connection,
        rows: Rows,
        enclosed: Mapping[str, Sequence[Enclosed]],
    ) -> None:
        """Insert the rows that are not there yet; `enclosed` has the attachments of each mail by its id."""
        with connection.cursor() as cursor:
            cursor.executemany(
                self._with_names(_INSERT_MAIL), [(*map(_value, astuple(record)), raw) for record, raw in rows]
            )
            attachments = [
                (mail, each.number, each.filename, each.content_type, each.content)
                for mail, found in enclosed.items()
                for each in found
            ]
            if attachments:
                cursor.executemany(self._with_names(_INSERT_ATTACHMENT), attachments)

    def _upgrade(self, connection: psycopg.Connection, version: int) -> None:
        statements = [*(_UPGRADES[older] for older in range(version, _VERSION)), _COMMENT]
        composed = [self._with_names(statement) for statement in statements]
        try:
            for statement in composed:
                connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            words = "; ".join(statement.as_string(connection) for statement in composed)
            raise ConfigError(
                f"[postgres] table: {self._name} is of an older version, and we may not change it: {error}. "
                f"remedy: as its owner: {words}"
            ) from error

    def _version(self, connection: psycopg.Connection) -> int:
        """Which version of ours the table is; 0 if there is none. Raises ConfigError for another table."""
        shown = self._names["table"].as_string(connection)
        row = connection.execute("SELECT to_regclass(%s), obj_description(to_regclass(%s))", (shown, shown))
        table, words = row.fetchone() or (None, None)
        if table is None:
            return 0
        known = {f"{_OURS}{version}": version for version in (*_UPGRADES, _VERSION)}
        if words in known:
            return known[words]
        what = words if words and words.startswith(_OURS) else "not made by fastmail-ingest"
        raise ConfigError(
            f"[postgres] table: there is a table {self._name}, but it is {what}; this program writes version "
            f"{_VERSION}. remedy: name another table"
        )

    def _with_names(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(**self._names)


def _value(value: object) -> object:
    """A value as psycopg writes it."""
    return Jsonb(msgspec.to_builtins(value)) if isinstance(value, Classification) else value
