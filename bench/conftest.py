"""What the stages are measured on."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.redis_server import RedisServer

from fastmail_ingest.app.bench.roles import new_mails
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.simulator import Corpus, mixed
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.server import find_binary

KEY = MailboxKey("bench", "INBOX")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer(str(find_binary()), appendfsync="everysec")
    yield server
    server.close()


@pytest.fixture
def arguments() -> Arguments:
    return Arguments(Keys(f"b{time.monotonic_ns()}"), 90)


@pytest.fixture
def ledger(redis_server: RedisServer, arguments: Arguments) -> Iterator[Ledger]:
    made = Ledger(redis_server.url, "", arguments)
    made.make_groups()
    yield made
    redis_server.client().flushall()


@pytest.fixture(scope="session")
def large_mails() -> list[NewMail]:
    """1,000 mails of mixed sizes, 18 KB mean."""
    return new_mails(KEY, range(1, 1001), mixed())


@pytest.fixture(scope="session")
def small_mails() -> list[NewMail]:
    """512 mails of 1.5 KB."""
    return new_mails(KEY, range(1, 513), Corpus(size=1500))
