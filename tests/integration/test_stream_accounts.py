"""The books about accounts: those in Redis, and those in memory that other tests use, do the same."""

import time

import pytest
from support.books import MemoryBooks
from support.redis_server import RedisServer

from fastmail_ingest.model.account_state import AccountState, Quarantined, Refusal
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.policy import budget
from fastmail_ingest.stream.accounts import Accounts
from fastmail_ingest.stream.connect import connect
from fastmail_ingest.stream.keys import Keys

KEY = MailboxKey("work", "Entwürfe/2026")
OTHER = MailboxKey("work", "INBOX")

Books = Accounts | MemoryBooks


@pytest.fixture
def in_redis(server: RedisServer) -> Accounts:
    client = connect(server.url)
    client.flushdb()
    return Accounts(client, Keys("fmi"))


@pytest.fixture(params=["memory", "stream"])
def books(request: pytest.FixtureRequest, in_redis: Accounts) -> Books:
    return MemoryBooks() if request.param == "memory" else in_redis


def test_an_account_is_well_until_somebody_says_otherwise(books: Books) -> None:
    assert books.state("work") == AccountState()
    bad = AccountState("suspended", 1.5e9, 3, "wrong password", 1.4e9, "abcd")
    books.put_state("work", bad)
    assert books.state("work") == bad
    assert books.state("other") == AccountState()


def test_bytes_add_up_under_their_hour(books: Books) -> None:
    assert books.spent("work") == {}
    books.spend("work", 100, 3)
    by_hour = books.spend("work", 20, 0)
    assert sum(by_hour.values()) == 120
    assert set(by_hour) <= {budget.hour_of(time.time()) - 1, budget.hour_of(time.time())}
    assert books.spent("work") == by_hour
    assert books.spent("other") == {}


def test_freshness_is_per_mailbox(books: Books) -> None:
    books.prove_fresh(KEY, 1_700_000_000.25)
    assert books.fresh([OTHER, KEY]) == [0.0, 1_700_000_000.25]
    assert books.fresh([]) == []


def test_a_refusal_is_kept_until_the_mailbox_is_fresh(books: Books) -> None:
    books.put_refusal(KEY, Refusal(1_700_000_000.25, "not there"))
    assert books.refusals([OTHER, KEY]) == [None, Refusal(1_700_000_000.25, "not there")]
    assert books.refusals([]) == []
    books.prove_fresh(OTHER, 1.0)
    assert books.refusals([KEY]) != [None]
    books.prove_fresh(KEY, 1.0)
    assert books.refusals([KEY]) == [None]


def test_a_quarantine_is_kept_and_emptied(books: Books) -> None:
    assert books.quarantine(KEY) == []
    mails = [
        Quarantined(7, 5, 1, 1.7e9, "NO"),
        Quarantined(7, 9, 2, 1.8e9, "NO, again \ud83d".encode("utf-8", "replace").decode()),
    ]
    books.put_quarantine(KEY, mails)
    assert books.quarantine(KEY) == mails
    assert books.quarantine(OTHER) == []
    books.put_quarantine(KEY, [])
    assert books.quarantine(KEY) == []


def test_what_others_wrote_into_the_books_harms_nothing(in_redis: Accounts, server: RedisServer) -> None:
    client = connect(server.url)
    keys = Keys("fmi")
    client.hset(keys.accounts, "work", b"\xff{")
    client.hset(keys.quarantine("work"), KEY.mailbox, b"[1,2]")
    client.hset(keys.spent("work"), "noon", "7")
    assert in_redis.state("work") == AccountState()
    assert in_redis.quarantine(KEY) == []
    assert in_redis.spent("work") == {}


def test_the_books_of_an_account_in_one_look(in_redis: Accounts) -> None:
    in_redis.spend("work", 70, 5)
    in_redis.put_state("work", AccountState("resting", 1.0, 1, "limits"))
    in_redis.put_quarantine(KEY, [Quarantined(7, 5, 1, 1.7e9, "NO")])
    books = in_redis.books("work")
    assert (books.state.standing, sum(books.bytes_by_hour.values()), books.commands_today) == (
        "resting",
        70,
        5,
    )
    assert [mail.uid for mail in books.quarantined[KEY.mailbox]] == [5]


def test_hours_that_are_over_are_forgotten(in_redis: Accounts, server: RedisServer) -> None:
    client = connect(server.url)
    old = budget.hour_of(time.time()) - 30
    client.hset(Keys("fmi").spent("work"), str(old), "5")
    in_redis.spend("work", 1, 1)
    assert old not in in_redis.spent("work")
    assert client.ttl(Keys("fmi").spent("work")) > 0
