"""The HTTP server as a child of a real supervisor: it may die, be blocked or be attacked, the mails go on."""

import os
import signal
import socket
from contextlib import closing
from typing import Any

import pytest
import requests
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.simulator import Link, ServerThread

TOKEN = "planted-token-0123456789"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Admin:
    """A supervisor with an HTTP server, and what it answers."""

    def __init__(self, house: Any, body: str = "", **settings: str) -> None:
        self.port = free_port()
        text = f'port = {self.port}\ntoken = "{TOKEN}"\n{settings.pop("admin", "")}'
        self.supervised: Supervised = house(**({"body": body} if body else {}), admin=text, **settings)

    def start(self) -> "Admin":
        self.supervised.start()
        return self

    def ask(self, path: str, **options: Any) -> requests.Response | None:
        """The answer, None if nobody answers."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, **options)
        except requests.ConnectionError:
            return None

    def answers(self) -> bool:
        response = self.ask("/health")
        return response is not None and response.status_code == 200

    def wait(self) -> "Admin":
        wait_until(self.answers, f"it answers; {self.supervised.log}")
        return self

    def reasons(self) -> list[str]:
        response = self.ask("/ready")
        return [each["name"] for each in response.json()["reasons"]] if response is not None else ["nobody"]


def test_it_tells_of_a_real_run(house, simulated) -> None:
    simulated.add(300)
    admin = Admin(house).start().wait()
    wait_until(lambda: admin.ask("/status").json()["totals"]["handled"] == 300, "all are counted")
    wait_until(lambda: admin.reasons() == [], "all is well")
    told = admin.ask("/status").json()
    roles = {role["role"]: (role["wanted"], role["ready"]) for role in told["roles"]}
    assert roles == {"worker": (2, 2), "producer": (1, 1), "maintenance": (1, 1), "admin": (1, 1)}
    processes = {process["pid"]: process for process in told["processes"]}
    assert {*admin.supervised.children(), admin.supervised.pid} == set(processes)
    assert all(process["rss_bytes"] > 1_000_000 for process in processes.values())
    assert sum(process["handled"] for process in processes.values()) == 300
    assert told["accounts"][0]["mailboxes"][0]["appended"] == 300
    assert "password" not in admin.ask("/status").text

    def quantiles() -> list[float | None]:
        simulated.add(2)
        rates = admin.ask("/status").json()["rates"]
        return [rates[name] for name in ("p50_ms", "p95_ms", "p99_ms")]

    wait_until(lambda: None not in quantiles(), "latencies are told")
    metrics = admin.ask("/metrics").text
    assert "fastmail_ingest_emails_processed_total" in metrics
    assert 'fastmail_ingest_stream_depth{lane="live"}' in metrics
    assert admin.supervised.stop() == 0


def test_kill_9_of_it_costs_nothing_but_a_moment(house, simulated) -> None:
    simulated.add(100)
    admin = Admin(house).start().wait()
    admin.supervised.wait_for_calls(100)

    def handled() -> float:
        return sum(admin.ask("/api/history?step=1").json()["handled_per_s"])

    wait_until(lambda: handled() == 100, "the history has all mails")
    for _ in range(3):
        (victim,) = admin.supervised.children("admin")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda gone=victim: admin.supervised.children("admin") not in ([gone], []), "a successor")
        admin.wait()
    assert handled() == 100
    simulated.add(50)
    admin.supervised.wait_for_calls(150)
    wait_until(lambda: handled() == 150, "its successor goes on counting")
    admin_row = next(role for role in admin.ask("/status").json()["roles"] if role["role"] == "admin")
    assert admin_row["deaths"] == 3
    assert admin.supervised.stop() == 0
    assert admin.supervised.repeats() == 0


def test_a_port_in_use_is_said_and_the_mails_go_on(house, simulated) -> None:
    simulated.add(50)
    admin = Admin(house)
    with socket.create_server(("127.0.0.1", admin.port)):
        admin.start()
        admin.supervised.wait_for_calls(50)
        wait_until(
            lambda: "the port is in use. remedy: another port" in admin.supervised.text(), "it says so"
        )
        (first,) = admin.supervised.children("admin")
    admin.wait()
    assert admin.supervised.children("admin") == [first]
    assert "died" not in admin.supervised.text()
    assert admin.supervised.stop() == 0


def test_with_once_there_is_none(house, simulated) -> None:
    simulated.add(20)
    admin = Admin(house)
    with socket.create_server(("127.0.0.1", admin.port)):
        assert admin.supervised.run("--once") == 0
    assert "HTTP" not in admin.supervised.text()
    assert "port" not in admin.supervised.text()


def test_a_reload_takes_over_a_new_token(house) -> None:
    admin = Admin(house).start().wait()
    path = admin.supervised.config
    path.write_text(path.read_text().replace(TOKEN, TOKEN[::-1]))
    os.kill(admin.supervised.pid, signal.SIGHUP)

    def session(token: str) -> int:
        response = admin.ask("/api/session", headers={"Authorization": f"Bearer {token}"})
        return response.status_code if response is not None else 0

    wait_until(lambda: session(TOKEN[::-1]) == 200, "the new token is known")
    assert session(TOKEN) == 401
    assert admin.supervised.stop() == 0
    assert TOKEN not in admin.supervised.text()
    assert TOKEN[::-1] not in admin.supervised.text()


def test_a_reload_does_not_begin_or_end_it(house) -> None:
    admin = Admin(house).start().wait()
    path = admin.supervised.config
    path.write_text(path.read_text().replace(f"port = {admin.port}\n", "port = 0\n"))
    (first,) = admin.supervised.children("admin")
    os.kill(admin.supervised.pid, signal.SIGHUP)
    said = "[admin] port changed from or to 0: that takes effect only when"
    wait_until(lambda: said in admin.supervised.text(), "it says so")
    wait_until(lambda: admin.supervised.children("admin") not in ([first], []), "it is replaced")
    admin.wait()
    assert admin.supervised.stop() == 0


BUSY = """

    import time

    def handle(email):
        note(email)
        time.sleep(3)
"""


def test_it_is_the_last_to_stop_and_says_that_all_is_stopping(house, simulated) -> None:
    simulated.add(2)
    admin = Admin(house, BUSY).start().wait()
    admin.supervised.wait_for_calls(1)
    assert any(each["in_hand"] for each in admin.ask("/status").json()["processes"])
    os.kill(admin.supervised.pid, signal.SIGTERM)
    wait_until(lambda: "stopping" in admin.reasons(), "it says that it is stopping")
    assert admin.supervised.children("worker")
    assert admin.supervised.wait() == 0


KILLING = """

    import os

    def handle(email):
        note(email)
        os._exit(3)
"""


def test_workers_that_die_again_and_again_turn_it(house, simulated) -> None:
    simulated.add(20)
    admin = Admin(house, KILLING).start().wait()
    wait_until(lambda: "crash_loop" in admin.reasons(), f"it is told; {admin.supervised.log}")
    (reason, *_) = [each for each in admin.ask("/ready").json()["reasons"] if each["name"] == "crash_loop"]
    assert reason["about"] == "worker"
    assert "exit code 3" in reason["message"]
    admin.supervised.stop(signal.SIGQUIT)


DOWN = """

    def handle(email):
        note(email)
        raise ConnectionError("the database is down")
"""


def test_an_open_breaker_and_dead_letters_turn_it(house, simulated) -> None:
    simulated.add(60)
    admin = Admin(house, DOWN, breaker="failures = 3\nrecovery = 60").start().wait()
    wait_until(lambda: "breaker_open" in admin.reasons(), f"it is told; {admin.supervised.log}")
    assert admin.supervised.stop() == 0


def test_a_mailbox_that_hangs_turns_it_until_it_is_read_again(tmp_path, simulated, redis_server) -> None:
    with ServerThread(Link(simulated.port)) as link:

        def behind_the_link(**settings: str) -> Supervised:
            return Supervised(tmp_path, link.port, redis_server.url, **settings)

        hasty = "poll_min = 0.05\npoll_max = 0.5\ntimeout = 1"
        admin = Admin(behind_the_link, admin="freshness = 2", producer=hasty).start().wait()
        with closing(admin.supervised):
            wait_until(lambda: admin.reasons() == [], "all is well")
            link.call(lambda: _black_hole(link, wanted=True))
            wait_until(lambda: admin.reasons() == ["mailbox_stale"], f"it is told; {admin.supervised.log}")
            (reason,) = admin.ask("/ready").json()["reasons"]
            assert reason["about"] == "sim/INBOX"
            link.call(lambda: _black_hole(link, wanted=False))
            wait_until(lambda: admin.reasons() == [], "all is well again", deadline_s=60)
            assert admin.supervised.stop() == 0


def test_a_mail_server_that_hangs_is_told_before_its_mailbox_is_stale(
    tmp_path, simulated, redis_server
) -> None:
    with ServerThread(Link(simulated.port)) as link:

        def behind_the_link(**settings: str) -> Supervised:
            return Supervised(tmp_path, link.port, redis_server.url, **settings)

        hasty = "poll_min = 0.05\npoll_max = 0.5\ntimeout = 1"
        admin = Admin(behind_the_link, admin="silence = 5\nfreshness = 600", producer=hasty).start().wait()
        with closing(admin.supervised):
            wait_until(lambda: admin.reasons() == [], "all is well")
            link.call(lambda: _black_hole(link, wanted=True))
            wait_until(lambda: admin.reasons() == ["mailbox_stuck"], f"it is told; {admin.supervised.log}")
            (reason,) = admin.ask("/ready").json()["reasons"]
            assert reason["about"] == "sim/INBOX"
            page = admin.ask("/metrics").text
            assert 'fastmail_ingest_mailbox_unanswered_seconds{account="sim",mailbox="INBOX"}' in page
            link.call(lambda: _black_hole(link, wanted=False))
            wait_until(lambda: admin.reasons() == [], "all is well again", deadline_s=60)
            assert admin.supervised.stop() == 0


def _black_hole(link: ServerThread, *, wanted: bool) -> None:
    link.server.black_hole = wanted


def test_a_redis_that_stops_turns_it_until_it_is_back(house, simulated, redis_server) -> None:
    admin = Admin(house).start().wait()
    wait_until(lambda: admin.reasons() == [], "all is well")
    redis_server.kill()
    wait_until(lambda: "redis_unreachable" in admin.reasons(), "it is told")
    assert admin.answers()
    redis_server.start()
    wait_until(lambda: admin.reasons() == [], f"all is well again; {admin.reasons()}", deadline_s=60)
    simulated.add(20)
    admin.supervised.wait_for_calls(20)
    assert admin.supervised.stop() == 0


@pytest.mark.parametrize("attack", ["header", "slow", "flood"])
def test_attacks_leave_the_mails_alone(house, simulated, attack: str) -> None:
    admin = Admin(house).start().wait()
    clients = [
        socket.create_connection(("127.0.0.1", admin.port)) for _ in range(300 if attack == "flood" else 20)
    ]
    sent = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1_000_000 if attack == "header" else 10)
    for client in clients:
        try:
            client.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            continue
    simulated.add(200)
    admin.supervised.wait_for_calls(200)
    for client in clients:
        client.close()
    admin.wait()
    assert "admin 0" not in admin.supervised.text()  # it did not die
    assert admin.supervised.stop() == 0
    assert admin.supervised.repeats() == 0
