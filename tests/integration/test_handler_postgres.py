"""The handler "postgres" on a real server: one row a mail, and patience while the server is away."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import psycopg
import pytest
from support.kept_mail import CLASSIFIED, HOSTILE, WITH_ATTACHMENT, classified, mail
from support.postgres_server import PostgresServer

from fastmail_ingest.config import BreakerConfig, Config, HandlerConfig
from fastmail_ingest.config.boxed_files import PostgresConfig
from fastmail_ingest.errors import ConfigError, HandlerLoadError
from fastmail_ingest.handler.chain import load
from fastmail_ingest.handler.postgres import Postgres
from fastmail_ingest.policy.faulty import speaks_of_a_dependency

_numbers = count(1)


@pytest.fixture
def table() -> str:
    return f"mails_{next(_numbers)}"


@pytest.fixture
def admin(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgres.connect() as connection:
        yield connection


def handler(postgres: PostgresServer, table: str, **settings: Any) -> Postgres:
    made = Postgres(PostgresConfig(url=postgres.url(), table=table, **settings))
    made.startup()
    return made


def ids(admin: psycopg.Connection, table: str) -> list[str]:
    return [row[0][-1] for row in admin.execute(f"SELECT id FROM {table} ORDER BY id")]


def test_a_row_holds_the_mail(postgres: PostgresServer, table: str, admin: psycopg.Connection) -> None:
    handler(postgres, table)([mail(0)])
    words = f'SELECT id, subject, "to", date, raw, flags FROM {table}'
    assert admin.execute(words).fetchall() == [
        (
            "a:INBOX:7:0", "Grüße", ["bob@example.com", "c@example.com"],
            datetime(2025, 1, 6, 8, tzinfo=UTC), None, ["\\Seen"],
        )
    ]  # fmt: skip


def test_attachments_and_the_whole_mail_if_wanted(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    made = handler(postgres, table, attachments=True, raw=True)
    made([mail(0, WITH_ATTACHMENT), mail(0, WITH_ATTACHMENT, attempt=2)])
    made([mail(0, WITH_ATTACHMENT, attempt=3), mail(1)])
    assert admin.execute(f"SELECT raw FROM {table} ORDER BY id").fetchone() == (WITH_ATTACHMENT,)
    assert admin.execute(f"SELECT * FROM {table}_attachments").fetchall() == [
        ("a:INBOX:7:0", 1, "a.pdf", "application/pdf", b"PDF")
    ]
    assert ids(admin, table) == ["0", "1"]


def test_a_hostile_mail_is_a_row_like_others(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    handler(postgres, table, raw=True)([mail(0, HOSTILE), mail(1)])
    assert ids(admin, table) == ["0", "1"]
    assert admin.execute(f"SELECT raw FROM {table} ORDER BY id").fetchone() == (HOSTILE,)


def test_a_mail_that_comes_again_gets_no_second_row(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    one, other = handler(postgres, table), handler(postgres, table)
    one([mail(0), mail(1)])
    other([mail(1, attempt=2), mail(2), mail(2)])
    assert admin.execute(f"SELECT right(id, 1), attempt FROM {table} ORDER BY id").fetchall() == [
        ("0", 1), ("1", 1), ("2", 1),
    ]  # fmt: skip


def test_many_begin_at_once(postgres: PostgresServer, table: str, admin: psycopg.Connection) -> None:
    workers = 8
    together = threading.Barrier(workers)

    def one(number: int) -> None:
        together.wait()
        made = handler(postgres, table)
        # In the order of the others and against it: whoever waits for another's row must not deadlock for good.
        made([mail(uid) for uid in (range(20) if number % 2 else range(19, -1, -1))])
        made.shutdown()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(workers)))
    assert len(ids(admin, table)) == 20


def test_a_restart_of_the_server_is_not_noticed(postgres: PostgresServer, table: str) -> None:
    made = handler(postgres, table)
    made([mail(0)])
    postgres.restart()
    made([mail(0, attempt=2), mail(1)])
    with postgres.connect() as admin:
        assert ids(admin, table) == ["0", "1"]


def test_while_the_server_is_away_the_breaker_is_told(postgres: PostgresServer, table: str) -> None:
    made = handler(postgres, table)
    postgres.kill()
    try:
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError, match=r"^\[postgres\] url: .*remedy: ") as caught:
                made([mail(0)])
            assert speaks_of_a_dependency(caught.value, BreakerConfig().errors)
    finally:
        postgres.start()
    made([mail(0, attempt=2)])
    with postgres.connect() as admin:
        assert ids(admin, table) == ["0"]


@pytest.mark.parametrize("name", ["archive.mails", "Mails", "select"])
def test_any_name_is_quoted(name: str, postgres: PostgresServer, admin: psycopg.Connection) -> None:
    admin.execute("CREATE SCHEMA IF NOT EXISTS archive")
    for _ in range(2):
        handler(postgres, name)([mail(0)])
    quoted = ".".join(f'"{part}"' for part in name.split("."))
    assert admin.execute(f"SELECT count(*) FROM {quoted}").fetchone() == (1,)
    admin.execute(f"DROP TABLE {quoted} CASCADE")


def test_a_table_that_was_made_for_us_needs_no_right_to_make_one(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    handler(postgres, table)
    admin.execute("DROP ROLE IF EXISTS writer")
    admin.execute("CREATE ROLE writer LOGIN")
    admin.execute(f"GRANT SELECT, INSERT ON {table} TO writer")
    url = postgres.url().replace("mail@", "writer@")
    made = Postgres(PostgresConfig(url=url, table=table))
    made([mail(0)])
    made.shutdown()
    assert ids(admin, table) == ["0"]
    admin.execute("DROP OWNED BY writer")
    admin.execute("DROP ROLE writer")


def test_a_classification_is_a_column_that_older_tables_get(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    handler(postgres, table)([mail(0)])
    admin.execute(f"ALTER TABLE {table} DROP COLUMN classification")
    admin.execute(f"COMMENT ON TABLE {table} IS 'fastmail-ingest, schema version 1'")
    admin.execute("DROP ROLE IF EXISTS writer")
    admin.execute("CREATE ROLE writer LOGIN")
    admin.execute(f"GRANT SELECT, INSERT ON {table} TO writer")
    made = Postgres(PostgresConfig(url=postgres.url().replace("mail@", "writer@"), table=table))
    with pytest.raises(
        ConfigError, match=rf'remedy: as its owner: ALTER TABLE "{table}" .* jsonb; COMMENT'
    ) as told:
        made.startup()
    for statement in str(told.value).partition("as its owner: ")[2].split("; "):
        admin.execute(statement)
    made([classified(1)])
    made.shutdown()
    handler(postgres, table)([mail(2)])
    found = [row for (row,) in admin.execute(f"SELECT classification FROM {table} ORDER BY id")]
    assert found == [None, CLASSIFIED, None]
    admin.execute("DROP OWNED BY writer")
    admin.execute("DROP ROLE writer")


def test_a_table_of_an_older_version_is_changed_by_its_owner(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    handler(postgres, table)([mail(0)])
    admin.execute(f"ALTER TABLE {table} DROP COLUMN classification")
    admin.execute(f"COMMENT ON TABLE {table} IS 'fastmail-ingest, schema version 1'")
    handler(postgres, table)([classified(1)])
    found = [row for (row,) in admin.execute(f"SELECT classification FROM {table} ORDER BY id")]
    assert found == [None, CLASSIFIED]


def test_a_table_of_somebody_else_is_refused(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    admin.execute(f"CREATE TABLE {table} (id text PRIMARY KEY)")
    with pytest.raises(ConfigError, match=r"not made by fastmail-ingest.*remedy: "):
        handler(postgres, table)
    admin.execute(f"COMMENT ON TABLE {table} IS 'fastmail-ingest, schema version 3'")
    with pytest.raises(ConfigError, match="schema version 3; this program writes version 2"):
        handler(postgres, table)


def test_a_database_that_cannot_hold_every_character_is_refused(
    postgres: PostgresServer, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(ConfigError, match=r"encoding LATIN1.*remedy: "):
        Postgres(PostgresConfig(url=postgres.url("narrow"))).startup()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mail:never%zzshown@h/db",
        "postgresql://mail:never@shown@h/db",
        "postgresql://mail:never/shown@h/db",
        "postgresql://h/db?nevershown=1",
    ],
)
def test_a_wrong_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(HandlerLoadError) as caught:
        Postgres(PostgresConfig(url=url))
    assert "remedy: " in str(caught.value)
    assert "never" not in str(caught.value)
    assert "shown@" not in str(caught.value)


def test_without_psycopg_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fastmail_ingest.handler.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(HandlerLoadError, match=r"pip install 'fastmail-ingest\[postgres\]'"):
        load(Config(handler=HandlerConfig(target="postgres")), [])


def refused_by_the_server(made: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="leads to the server that takes writes") as raised:
        made([mail(0)])
    assert speaks_of_a_dependency(raised.value, frozenset(BreakerConfig().errors))


def test_a_server_that_became_a_standby_is_left_for_the_one_that_took_over(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    made = handler(postgres, table)
    made._connection.execute("SET default_transaction_read_only = on")
    made([mail(0)])  # by a new connection
    assert len(ids(admin, table)) == 1


def test_of_a_standby_no_mail_is_to_blame(postgres: PostgresServer, table: str) -> None:
    made = handler(postgres, table)
    made.shutdown()
    url = (
        f"{postgres.url()}{'&' if '?' in postgres.url() else '?'}options=-cdefault_transaction_read_only%3Don"
    )
    made._section = PostgresConfig(url=url, table=table)
    refused_by_the_server(made)


def test_tables_that_were_dropped_are_made_anew(
    postgres: PostgresServer, table: str, admin: psycopg.Connection
) -> None:
    made = handler(postgres, table)
    admin.execute(f"DROP TABLE {table}, {table}_attachments")
    admin.commit()
    made([mail(0)])
    assert len(ids(admin, table)) == 1
