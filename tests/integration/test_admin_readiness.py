"""/ready on a real Redis: what fails turns it, what heals turns it back, and it never waits for anybody."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from support.admin_server import AdminServer, admin_server
from support.operated import Operated
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.config import Account
from fastmail_ingest.model.account_state import AccountState, Refusal
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.policy.breaker import State as Breaker
from fastmail_ingest.supervisor.slots import State
from fastmail_ingest.telemetry.counters import Counter

ACCOUNTS = [
    Account(name="a", host="h", user="u", password="planted-secret"),
    Account(name="token", host="h", user="u", oauth_client_file="c.json"),
]
KEYS = [MailboxKey(account.name, "INBOX") for account in ACCOUNTS]


@pytest.fixture
def stream(redis_server: RedisServer) -> Operated:
    made = Operated(redis_server)
    for key in KEYS:
        made.ledger.accounts.prove_fresh(key, time.time())
    return made


@pytest.fixture
def admin(stream: Operated) -> Iterator[AdminServer]:
    with admin_server(stream.url, ACCOUNTS) as made:
        wait_until(lambda: made.reasons() == [], "all is well at first")
        yield made


def turned_by(admin: AdminServer, name: str) -> dict[str, str]:
    """Wait until it is not ready for this reason alone; returns the reason."""
    wait_until(lambda: admin.reasons() == [name], f"{name} is the reason; {admin.reasons()}")
    (reason,) = admin.get("/ready").json()["reasons"]
    assert reason["message"]
    assert reason["remedy"]
    assert abs(reason["since"] - time.time()) < 60
    return reason


def healed(admin: AdminServer) -> None:
    wait_until(lambda: admin.reasons() == [], "all is well again")


def test_a_stopped_redis(admin: AdminServer, redis_server: RedisServer) -> None:
    redis_server.kill()
    reason = turned_by(admin, "redis_unreachable")
    assert "does not answer" in reason["message"]
    assert admin.get("/health").status_code == 200
    status = admin.get("/status").json()
    assert status["redis"]["ok"] is False
    assert status["ready"] is False
    assert admin.get("/api/dead").status_code == 503
    assert admin.get("/api/dead").json()["error"]["name"] == "redis_unreachable"
    redis_server.start()
    healed(admin)


def test_a_redis_that_hangs_keeps_nobody_waiting(admin: AdminServer, redis_server: RedisServer) -> None:
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        slowest_s = 0.0

        def turned() -> bool:
            nonlocal slowest_s
            for path in ("/health", "/status"):
                began = time.monotonic()
                assert admin.get(path).status_code == 200
                slowest_s = max(slowest_s, time.monotonic() - began)
            return admin.reasons() == ["redis_unreachable"]

        wait_until(turned, "it is not ready")
        # No request waited for a look at Redis, which gives up after two seconds.
        assert slowest_s < 1.5
        assert admin.get("/api/dead").status_code == 503
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)
    healed(admin)


def test_an_expired_token_and_a_suspended_account(admin: AdminServer, stream: Operated) -> None:
    books = stream.ledger.accounts
    books.put_state(
        "token", AccountState("suspended", time.time() + 3600, 1, "invalid_grant <b>", time.time())
    )
    reason = turned_by(admin, "token_expired")
    assert (reason["about"], reason["message"]) == ("token", "invalid_grant <b>")
    assert "auth setup token" in reason["remedy"]
    books.put_state("token", AccountState())
    healed(admin)
    books.put_state("a", AccountState("suspended", time.time() + 3600, 1, "app password", time.time()))
    assert turned_by(admin, "account_suspended")["about"] == "a"
    books.put_state("a", AccountState())
    healed(admin)


def test_a_mail_server_that_owes_an_answer(admin: AdminServer) -> None:
    slot = admin.table.slot(1)
    slot.put(Counter.SILENT_CONNECTIONS, 2)
    slot.put(Counter.SILENT_MAILBOX, 2)
    slot.put(Counter.SILENT_SINCE_NS, time.monotonic_ns() - 16_000_000_000)
    reason = turned_by(admin, "mailbox_stuck")
    assert reason["about"] == "token/INBOX"
    assert "1 other connections" in reason["message"]
    (told,) = admin.get("/status").json()["silences"]
    assert (told["mailbox"], told["connections"]) == ("token/INBOX", 2)
    slot.put(Counter.SILENT_SINCE_NS, time.monotonic_ns() - 6_000_000_000)
    healed(admin)
    assert admin.get("/status").json()["silences"]
    slot.put(Counter.SILENT_SINCE_NS, 0)
    wait_until(lambda: admin.get("/status").json()["silences"] == [], "nobody is silent")


def test_a_mailbox_that_is_not_opened(admin: AdminServer, stream: Operated) -> None:
    stream.ledger.accounts.put_refusal(KEYS[0], Refusal(time.time(), "no such mailbox \x1b[31m"))
    reason = turned_by(admin, "mailbox_refused")
    assert reason["about"] == "a/INBOX"
    assert "\x1b" not in reason["message"]
    stream.ledger.accounts.prove_fresh(KEYS[0], time.time())
    healed(admin)


def test_growing_dead_letters(admin: AdminServer, stream: Operated) -> None:
    wait_until(lambda: admin.get("/api/history?step=1").json()["dead_letters"], "a whole second is known")
    stream.bury(1, 2, 3)
    assert "3 more" in turned_by(admin, "dead_letters_growing")["message"]
    stream.client.delete(stream.keys.dead)
    healed(admin)


def test_mail_that_waits_too_long(admin: AdminServer, stream: Operated) -> None:
    seconds, _ = stream.client.time()
    stream.client.xadd(stream.keys.again, {"m": b"x"}, id=f"{(seconds - 700) * 1000}-0")
    reason = turned_by(admin, "backlog_old")
    assert reason["about"] == "again"
    stream.client.delete(stream.keys.again)
    healed(admin)


@pytest.mark.parametrize(
    ("counter", "about"), [(Counter.HANDLER_BREAKER, "handler"), (Counter.REDIS_BREAKER, "redis")]
)
def test_an_open_breaker(admin: AdminServer, counter: Counter, about: str) -> None:
    slot = admin.table.slot(0)
    slot.put(counter, Breaker.OPEN)
    assert turned_by(admin, "breaker_open")["about"] == about
    told = {each["dependency"]: each["state"] for each in admin.get("/status").json()["breakers"]}
    assert told == {"handler": "closed", "redis": "closed"} | {about: "open"}
    slot.put(counter, Breaker.CLOSED)
    healed(admin)


def test_workers_that_are_missing_and_workers_that_die(admin: AdminServer) -> None:
    slot, row = admin.table.slot(0), admin.table.board.row(0)
    slot.state = State.STARTING
    assert turned_by(admin, "processes_missing")["about"] == "worker"
    slot.state = State.READY
    healed(admin)
    for _ in range(4):
        row.note_death("signal 9 (Killed)", time.monotonic())
    assert "signal 9 (Killed)" in turned_by(admin, "crash_loop")["message"]
    (worker, _) = admin.get("/status").json()["roles"]
    assert (worker["deaths"], worker["last_words"]) == (4, "signal 9 (Killed)")


def test_a_supervisor_that_drains(admin: AdminServer) -> None:
    admin.table.board.note_drain()
    assert turned_by(admin, "stopping")["about"] == "supervisor"


def test_what_others_wrote_into_our_keys_ends_no_look(admin: AdminServer, stream: Operated) -> None:
    stream.client.hset(stream.keys.fresh, "a/INBOX", "yesterday")
    turned_by(admin, "redis_unreachable")
    stream.ledger.accounts.prove_fresh(KEYS[0], time.time())
    healed(admin)
    stream.client.set(stream.keys.accounts, "no hash")
    turned_by(admin, "redis_unreachable")
    stream.client.delete(stream.keys.accounts)
    healed(admin)
