"""The whole way where something is odd: foreign entries, failures that wait, two supervisors, one mail twice."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dovecot import PASSWORD, Dovecot
from support.invariants import assert_invariants, dead_letters, done_count
from support.odd_mails import odd_mails
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.config import Account
from fastmail_ingest.errors import SourceUnavailable
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.mailbox import Connection

NOTE = "\n\ndef handle(email):\n    note(email)\n"


@pytest.fixture
def run(tmp_path: Path, simulated, redis_server: RedisServer) -> Iterator[Supervised]:
    made = Supervised(tmp_path, simulated.port, redis_server.url, NOTE)
    yield made
    made.close()


def test_foreign_entries_become_dead_letters_and_stop_nobody(run, simulated, redis_server) -> None:
    client = redis_server.client()
    foreign = [{"by": "hand"}, {"m": b""}, {"m": b"\xc1not msgpack"}, {"m": b"x", "f": "many"}, {"k": "3"}]
    for fields in foreign:
        client.xadd("{fmi:0}:live", fields)
    simulated.add(50)
    assert run.run("--once") == 0, run.text()
    assert len(run.calls()) == 50
    letters = dead_letters(client)
    assert [letter[b"reason"] for letter in letters] == [b"undecodable"] * len(foreign)
    # Two workers take them: nothing is said about the order.
    assert sorted(letter[b"m"] for letter in letters) == sorted([b"", b"", b"\xc1not msgpack", b"x", b""])
    assert client.xpending("{fmi:0}:live", "workers")["pending"] == 0


def test_what_waits_for_a_retry_outlives_the_run(tmp_path, simulated, redis_server) -> None:
    simulated.add(50)
    body = """

        def handle(email):
            note(email)
            if email.uid % 10 == 0 and email.attempt == 1:
                raise OSError("try later")
    """
    run = Supervised(tmp_path, simulated.port, redis_server.url, body, retry="first = 600.0")
    client = redis_server.client()
    assert run.run("--once") == 0, run.text()
    assert client.zcard("{fmi:0}:delayed") == 5
    assert done_count(client) == 45
    assert_invariants(client)
    assert run.run("--once") == 0
    assert len(run.calls()) == 50
    for member in client.zrange("{fmi:0}:delayed", 0, -1):
        client.zadd("{fmi:0}:delayed", {member: 1})
    run.start()
    wait_until(lambda: done_count(client) == 50, "the failed ones are handled when they are due")
    assert run.stop() == 0
    assert sorted(attempt for _, attempt in run.calls()) == [1] * 50 + [2] * 5
    assert_invariants(client)


def test_with_one_attempt_a_failure_is_a_dead_letter_at_once(tmp_path, simulated, redis_server) -> None:
    simulated.add(20)
    body = (
        "\n\ndef handle(email):\n    note(email)\n    if email.uid == 7:\n        raise KeyError('seven')\n"
    )
    run = Supervised(tmp_path, simulated.port, redis_server.url, body, retry="attempts = 1")
    assert run.run("--once") == 0, run.text()
    (letter,) = dead_letters(redis_server.client())
    assert (letter[b"id"], letter[b"reason"]) == (b"sim:INBOX:7:7", b"retries_exhausted")
    assert_invariants(redis_server.client())


def test_a_changed_uidvalidity_repeats_nothing(run, simulated, redis_server) -> None:
    simulated.add(200)
    assert run.run("--once") == 0
    simulated.server.call(lambda: setattr(simulated.mailbox, "uid_validity", 8))
    simulated.add(10)
    assert run.run("--once") == 0, run.text()
    assert len(run.calls()) == 210
    assert_invariants(redis_server.client())


def test_two_supervisors_on_one_stream_handle_each_mail_once(tmp_path, simulated, redis_server) -> None:
    simulated.add(1500)
    slow = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.001)\n"
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(Supervised(tmp_path / name, simulated.port, redis_server.url, slow).start())
    wait_until(lambda: sum(len(each.calls()) for each in runs) >= 200, "both are at work")
    runs[0].process.kill()
    runs[0].wait()
    wait_until(lambda: done_count(redis_server.client()) == 1500, "the other takes over all")
    assert runs[1].stop() == 0
    for each in runs:
        each.close()
    attempts: dict[str, list[int]] = {}
    for identity, attempt in runs[0].calls() + runs[1].calls():
        attempts.setdefault(identity, []).append(attempt)
    assert len(attempts) == 1500
    assert all(attempt > 1 for seen in attempts.values() for attempt in seen[1:])
    assert_invariants(redis_server.client())


# --- Dovecot


def account(dovecot: Dovecot, **changes: object) -> Account:
    fields = {"name": "d", "host": "127.0.0.1", "port": dovecot.port, "tls": "off", "user": "many"}
    return Account(**{**fields, "password": PASSWORD, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ca")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=other"]
    words += ["-keyout", str(directory / "key"), "-out", str(directory / "crt")]
    subprocess.run(words, check=True, capture_output=True)
    return directory / "crt"


@pytest.mark.parametrize("tls", ["starttls", "on"])
def test_a_certificate_of_another_authority_is_refused(dovecot, other_authority, tls) -> None:
    port = dovecot.tls_port if tls == "on" else dovecot.port
    with pytest.raises(SourceUnavailable, match="cannot be trusted"):
        Connection(account(dovecot, tls=tls, port=port, tls_ca_file=str(other_authority)), 10.0, 1 << 20)


def test_a_ca_file_that_is_missing_is_explained(dovecot) -> None:
    with pytest.raises(SourceUnavailable, match=r"no/such"):
        Connection(account(dovecot, tls="on", port=dovecot.tls_port, tls_ca_file="/no/such"), 10.0, 1 << 20)


@pytest.mark.parametrize("tls", ["off", "on"])
def test_three_hundred_odd_mails_in_small_windows_keep_their_flags(dovecot, tls) -> None:
    user = f"many-{tls}"
    with dovecot.client(user) as client:
        for number, raw in enumerate(odd_mails(300)):
            client.append("INBOX", raw, [rb"\Flagged"] if number % 3 == 0 else [])
        client.select_folder("INBOX", readonly=True)
        before = client.get_flags(client.search())
    port = dovecot.tls_port if tls == "on" else dovecot.port
    ca_file = str(dovecot.certificate) if tls == "on" else ""
    source = Connection(account(dovecot, user=user, tls=tls, port=port, tls_ca_file=ca_file), 10.0, 1 << 20)
    state = source.examine("INBOX")
    windows = [Window(first, first + 36) for first in range(1, state.uid_next, 37)]
    fetched = [mail for window in windows for mail in source.fetch(window)]
    source.close()
    assert [mail.raw for mail in fetched] == odd_mails(300)
    assert [r"\Flagged" in mail.flags for mail in fetched] == [n % 3 == 0 for n in range(300)]
    with dovecot.client(user) as client:
        client.select_folder("INBOX", readonly=True)
        after = client.get_flags(client.search())
    plain = {uid: set(flags) - {rb"\Recent"} for uid, flags in after.items()}
    assert plain == {uid: set(flags) - {rb"\Recent"} for uid, flags in before.items()}


def test_a_mail_that_comes_while_idling_is_handled_soon(tmp_path, dovecot, redis_server) -> None:
    run = Supervised(
        tmp_path, dovecot.port, redis_server.url, NOTE,
        account=f'user = "idler"\npassword = "{PASSWORD}"\ntls = "off"', producer="poll_max = 3600.0\npoll_min = 3600.0",
    ).start()  # fmt: skip
    with dovecot.client("idler") as client:
        client.append("INBOX", b"Subject: first\r\n\r\n")
        run.wait_for_calls(1)
        started = time.monotonic()
        client.append("INBOX", b"Subject: second\r\n\r\n")
        run.wait_for_calls(2)
    assert time.monotonic() - started < 15
    assert run.stop() == 0
    run.close()
