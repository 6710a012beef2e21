"""`status`: what it shows of accounts that are well, resting, suspended, and of their mailboxes."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result
from support.admin_server import AdminServer, admin_server
from support.operated import Operated
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.app.operate import looks
from fastmail_ingest.cli.main import cli
from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.model.account_state import AccountState, Quarantined, Refusal
from fastmail_ingest.model.mailbox import MailboxKey

Status = Callable[..., str]
ACCOUNT = '[[accounts]]\nname = "{}"\nhost = "h"\nuser = "u"\npassword = "planted-secret"\nmailboxes = ["INBOX", "Müll"]\n'
HOSTILE = "\x1b[31m[bold]NO[/] \u202e"


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def status(stream: Operated, tmp_path: Path) -> Status:
    path = tmp_path / "supervisor.toml"
    path.write_text(
        f'[redis]\nurl = "{stream.url}"\n'
        + ACCOUNT.format("a")
        + ACCOUNT.format("b")
        + "daily_bytes = 5000000\n[admin]\nport = 0\n"
    )
    path.chmod(0o600)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["status", "--config", str(path), *words])
        assert done.exit_code == 0, done.output
        assert "planted-secret" not in done.output
        return done.output

    return run


def test_an_empty_stream_says_so(status: Status) -> None:
    text = status()
    assert "0 to handle, 0 waiting for a retry, 0 dead letters" in text
    assert text.count("never") == 4
    assert "supervisor: [admin] port is 0" in text


def test_everything_that_is_known_is_shown(status: Status, stream: Operated) -> None:
    stream.append(1, 2, 3)
    books = stream.ledger.accounts
    books.spend("b", 2_500_000, 12)
    books.prove_fresh(MailboxKey("a", "INBOX"), 1_700_000_000.0)
    books.put_state("b", AccountState("resting", 4e9, 2, f"limits {HOSTILE}", 1.0, "0123"))
    books.put_quarantine(MailboxKey("a", "Müll"), [Quarantined(7, 5, 3, 1.8e9, HOSTILE)])
    text = status()
    assert "3 to handle" in text
    assert "resting for" in text
    assert "b: limits" in text
    assert "a/Müll UID 5: tried 3 times" in text
    assert "\x1b" not in text
    assert "\u202e" not in text

    told = json.loads(status("--json"))
    first, second = told["accounts"]
    lanes = told["stream"].pop("lanes")
    assert told["stream"].pop("bytes") > 0
    memory = told["stream"].pop("memory")
    assert memory["limit"] > memory["used"] > 0
    assert told["stream"] == {"to_handle": 3, "waiting_for_retry": 0, "dead": 0}
    assert [(each["lane"], each["mails"]) for each in lanes] == [("again", 0), ("live", 3), ("backfill", 0)]
    assert lanes[0]["oldest_s"] is None
    assert lanes[1]["oldest_s"] >= 0
    assert first["standing"] == "ok"
    assert [box["last_uid"] for box in first["mailboxes"]] == [3, 0]
    assert first["mailboxes"][0]["fresh_s_ago"] > 1000
    assert first["mailboxes"][1]["quarantined"][0]["uid"] == 5
    assert (second["standing"], second["bytes_in_24_h"], second["bytes_allowed"]) == (
        "resting",
        2_500_000,
        5_000_000,
    )
    assert second["commands_today"] == 12
    assert "credentials" not in second


def test_a_mailbox_that_is_not_opened_says_why(status: Status, stream: Operated) -> None:
    stream.ledger.accounts.put_refusal(MailboxKey("a", "Müll"), Refusal(time.time(), f"not there {HOSTILE}"))
    text = status()
    assert text.count("refused, never") == 1
    assert "a/Müll is not served (asked " in text
    assert "not there" in text
    assert "\x1b" not in text
    inbox, other = json.loads(status("--json"))["accounts"][0]["mailboxes"]
    assert inbox["refused"] is None
    assert "not there" in other["refused"]["reason"]
    stream.client.hset(stream.keys.refused, "a/Müll", "what others wrote")
    assert "refused" not in status()


def test_daily_bytes_that_are_used_up_are_a_rest(status: Status, stream: Operated) -> None:
    stream.ledger.accounts.spend("a", 5_000_000, 1)
    stream.ledger.accounts.spend("b", 5_000_000, 1)
    text = status()
    assert text.count("resting for") == 1
    assert "b: daily_bytes is used up: 5.0 MB were fetched in 24 hours, of 5.0 MB" in text
    first, second = json.loads(status("--json"))["accounts"]
    assert first["standing"] == "ok"
    assert second["standing"] == "resting"
    assert second["until"] > time.time()
    assert "daily_bytes" in second["reason"]


@pytest.fixture
def admin(server: RedisServer, stream: Operated) -> Iterator[AdminServer]:
    """A supervisor's HTTP server, as one answers that has a crashing worker with hostile last words."""
    with admin_server(server.url) as made:
        worker = made.table.board.row(0)
        worker.wanted = 2
        for _ in range(5):
            worker.note_death(f"said {HOSTILE}", time.monotonic())
        wait_until(lambda: "crash_loop" in made.reasons(), "it tells of the crashes")
        yield made


class ForeignPages(BaseHTTPRequestHandler):
    """What somebody else's server says on the same port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"time": "late"}')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def foreign_server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), ForeignPages) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.server_port
        made.shutdown()
        thread.join()


def ask(stream: Operated, directory: Path, port: int, *words: str) -> Result:
    config = stream.config(directory, f"[admin]\nport = {port}\n")
    return CliRunner().invoke(cli, ["status", "--config", str(config), *words])


def test_what_a_supervisor_says_is_shown_beside(stream: Operated, admin: AdminServer, tmp_path: Path) -> None:
    stream.append(1)
    done = ask(stream, tmp_path, admin.ports[0])
    assert done.exit_code == 0, done.output
    for words in ("fastmail-ingest 9.9.9 on node, up", "not ready: ", "crash_loop worker", "remedy: ",
                  "1 to handle", "p50 -", "mails/s: 0.0 fetched", "waits for mail", "watches the others"):  # fmt: skip
        assert words in done.output
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output

    told = json.loads(ask(stream, tmp_path, admin.ports[0], "--json").output)
    assert told["supervisor_error"] == told["redis_error"] == ""
    assert told["supervisor_silent_s"] == told["redis_silent_s"] == 0.0
    assert set(told["supervisor"]) == set(admin.get("/status").json())
    assert told["supervisor"]["version"] == "9.9.9"
    assert {each["role"] for each in told["supervisor"]["processes"]} == {"supervisor", "worker", "producer"}


def test_without_redis_the_supervisor_is_shown_and_then_the_error(
    server: RedisServer, stream: Operated, admin: AdminServer, tmp_path: Path
) -> None:
    stream.client.close()
    server.kill()
    try:
        done = ask(stream, tmp_path, admin.ports[0])
        assert isinstance(done.exception, StreamUnavailable)
        assert "fastmail-ingest 9.9.9" in done.output
        assert "does not answer" in str(done.exception)  # which is said last, on stderr
        assert "does not answer" not in done.output
        done = ask(stream, tmp_path, admin.ports[0], "--json")
        assert isinstance(done.exception, StreamUnavailable)
        told = json.loads(done.output)
        assert told["stream"] is None
        assert "does not answer" in told["redis_error"]
    finally:
        server.start()


def test_what_else_may_listen_there_is_told_in_one_line(stream: Operated, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with mock.patch.object(looks, "HTTP_TIMEOUT_S", 0.1):
            hung = ask(stream, tmp_path, port)
    with foreign_server() as foreign:
        other = ask(stream, tmp_path, foreign)
    nobody = ask(stream, tmp_path, port)
    for done, why in (
        (hung, "timed out"), (other, "is answered with 200, and not as fastmail-ingest does"), (nobody, "refused"),
    ):  # fmt: skip
        assert done.exit_code == 0, done.output
        (line,) = [line for line in done.output.splitlines() if line.startswith("supervisor: ")]
        assert "nothing answers at http://127.0.0.1:" in line
        assert why in line
        assert "0 to handle" in done.output
