"""Whatever is killed, whenever: every mail reaches the handler, and repeats say so."""

import os
import signal

import pytest
from support.invariants import assert_invariants, dead_letters, done_count
from support.redis_server import RedisServer
from support.waiting import alive, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_under_load_loses_and_repeats_nothing(house, simulated, redis_server, number) -> None:
    simulated.add(3000)
    supervised = house().start()
    supervised.wait_for_calls(300)
    assert supervised.stop(number) == 0
    client = redis_server.client()
    assert_invariants(client)
    assert done_count(client) == len(supervised.handled())
    assert supervised.repeats() == 0
    assert supervised.run("--once") == 0
    assert len(supervised.handled()) == 3000
    assert supervised.repeats() == 0
    assert_invariants(client)


@pytest.mark.parametrize("role", ["worker", "producer", "maintenance"])
def test_kill_9_of_a_child_loses_nothing(house, simulated, redis_server, role) -> None:
    simulated.add(3000)
    supervised = house().start("--once")
    supervised.wait_for_calls(200)
    victim = supervised.children(role)[0]
    os.kill(victim, signal.SIGKILL)
    assert supervised.wait() == 0
    assert len(supervised.handled()) == 3000
    supervised.assert_repeats_are_marked()
    client = redis_server.client()
    assert_invariants(client)
    assert done_count(client) == 3000


def test_kill_9_of_a_worker_is_answered_by_a_new_one(house, simulated) -> None:
    supervised = house().start()
    before = wait_until(
        lambda: pids if len(pids := supervised.children("worker")) == 2 else None, "two workers"
    )
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(supervised.children("worker")) - set(before)) == 1, "a new worker")
    simulated.add(50)
    supervised.wait_for_calls(50)
    assert supervised.stop() == 0


def test_kill_9_of_idle_children_again_and_again_ends_nothing(house, simulated, redis_server) -> None:
    supervised = house().start()
    for _ in range(15):
        before = wait_until(
            lambda: pids if len(pids := supervised.children("worker")) == 2 else None, "two workers"
        )
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda gone=before[0]: gone not in supervised.children("worker"), "it is gone")
    simulated.add(50)
    supervised.wait_for_calls(50)
    assert supervised.stop() == 0, supervised.text()


def test_kill_9_of_the_supervisor_takes_all_children_with_it(house, simulated, redis_server) -> None:
    simulated.add(3000)
    supervised = house().start()
    supervised.wait_for_calls(200)
    children = supervised.children()
    os.kill(supervised.pid, signal.SIGKILL)
    supervised.wait()
    wait_until(lambda: not any(alive(pid) for pid in children), "no child outlives the supervisor")
    assert supervised.run("--once") == 0
    assert len(supervised.handled()) == 3000
    supervised.assert_repeats_are_marked()
    assert_invariants(redis_server.client())


def test_redis_killed_and_back(house, simulated, redis_server: RedisServer) -> None:
    simulated.add(3000)
    supervised = house().start("--once")
    supervised.wait_for_calls(200)
    redis_server.kill()
    redis_server.start()
    assert supervised.wait() == 0
    assert len(supervised.handled()) == 3000
    supervised.assert_repeats_are_marked()
    assert_invariants(redis_server.client())


def test_a_mail_that_kills_its_worker_is_blamed_alone(house, simulated, redis_server) -> None:
    simulated.add(500)
    supervised = house("""

    import os

    def handle(email):
        note(email)
        if email.uid == 77:
            os.kill(os.getpid(), 9)
    """)
    assert supervised.run("--once") == 0
    (letter,) = dead_letters(redis_server.client())
    assert letter[b"reason"] == b"killed_worker"
    assert letter[b"id"] == b"sim:INBOX:7:77"
    assert len(supervised.handled()) == 500
    assert done_count(redis_server.client()) == 499
    assert_invariants(redis_server.client())


def test_a_mail_that_hangs_is_killed_and_the_others_go_on(house, simulated, redis_server) -> None:
    simulated.add(100)
    body = """

    import time

    def handle(email):
        note(email)
        if email.uid == 50:
            time.sleep(3600)
    """
    settings = {
        "handler": 'target = "handler_under_test:handle"\ntimeout = 1.0', "retry": "max_deaths = 1",
    }  # fmt: skip
    supervised = house(body, **settings)
    assert supervised.run("--once") == 0
    (letter,) = dead_letters(redis_server.client())
    assert letter[b"reason"] == b"hung"
    assert done_count(redis_server.client()) == 99
    assert "time.sleep(3600)" in supervised.text() or "in handle" in supervised.text()


def test_hup_replaces_every_worker_and_loses_nothing(house, simulated, redis_server) -> None:
    supervised = house().start()
    before = wait_until(
        lambda: pids if len(pids := supervised.children("worker")) == 2 else None, "two workers"
    )
    simulated.add(2000)
    supervised.wait_for_calls(100)
    os.kill(supervised.pid, signal.SIGHUP)

    def replaced() -> bool:
        now = supervised.children("worker")
        return len(now) == 2 and not set(now) & set(before)

    wait_until(replaced, "both workers are replaced")
    supervised.wait_for_calls(2000)
    assert supervised.stop() == 0
    assert supervised.repeats() == 0
    assert_invariants(redis_server.client())


def test_ttin_and_ttou_change_the_number_of_workers(house) -> None:
    supervised = house().start()
    wait_until(lambda: len(supervised.children("worker")) == 2, "two workers")
    os.kill(supervised.pid, signal.SIGTTIN)
    wait_until(lambda: len(supervised.children("worker")) == 3, "three workers")
    os.kill(supervised.pid, signal.SIGTTOU)
    wait_until(lambda: len(supervised.children("worker")) == 2, "two workers again")
    assert supervised.stop() == 0
