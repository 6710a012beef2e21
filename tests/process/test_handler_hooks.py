"""startup and shutdown of a handler: once in each worker process, whatever else happens."""

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from support.invariants import assert_invariants, dead_letters, done_count
from support.waiting import wait_until

TARGET = 'target = "handler_under_test:handle"'

BODY = """

    def told(what):
        os.write(CALLS, f"{what} {os.getpid()}\\n".encode())

    def startup():
        if not os.path.exists("gate"):
            told("refused")
            raise ConnectionError("the database is not up")
        told("startup")

    def shutdown():
        told("shutdown")

    def handle(email):
        told("mail")
"""


def lines(run, what: str) -> list[int]:
    """The pids of the workers that told it, in order."""
    if not run.calls_file.exists():
        return []
    told = (line.split() for line in run.calls_file.read_text().rpartition("\n")[0].splitlines())
    return [int(pid) for word, pid in told if word == what]


def test_once_in_each_worker_and_shut_down_at_the_drain(
    house, simulated, redis_server, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    simulated.add(200)
    run = house(BODY).start()
    workers = wait_until(lambda: pids if len(pids := run.children("worker")) == 2 else None, "two workers")
    wait_until(lambda: len(lines(run, "mail")) == 200, f"all are handled; {run.log}")
    wait_until(lambda: len(lines(run, "startup")) == 2, "both have started up")
    assert sorted(lines(run, "startup")) == sorted(workers)
    assert lines(run, "shutdown") == []
    assert run.stop() == 0
    assert sorted(lines(run, "shutdown")) == sorted(workers)
    # Each worker: startup before its mails, shutdown behind them.
    order = [line.split() for line in run.calls_file.read_text().splitlines()]
    for pid in workers:
        own = [word for word, of in order if int(of) == pid]
        assert own[0] == "startup"
        assert own[-1] == "shutdown"
        assert set(own[1:-1]) <= {"mail"}
    assert_invariants(redis_server.client())


def test_one_that_fails_is_tried_again_and_no_mail_is_taken(
    house, simulated, redis_server, tmp_path: Path
) -> None:
    simulated.add(50)
    run = house(BODY).start()
    client = redis_server.client()
    wait_until(lambda: len(lines(run, "refused")) >= 4, f"each worker has tried twice; {run.log}")
    wait_until(lambda: client.xlen("{fmi:0}:live") == 50, "the mails wait in the stream")
    assert lines(run, "mail") == []
    assert "the database is not up; no mail is taken" in run.text()
    assert all(group["pending"] == 0 for group in client.xinfo_groups("{fmi:0}:live"))
    (tmp_path / "gate").touch()
    wait_until(lambda: done_count(client) == 50, f"all are handled; {run.log}")
    assert run.stop() == 0
    assert dead_letters(client) == []
    assert "0 restarts" in run.text()


def test_with_once_one_that_always_fails_ends_the_run_soon_and_the_next_run_handles_the_mails(
    house, simulated, redis_server, tmp_path: Path
) -> None:
    simulated.add(20)
    run = house(BODY)
    assert run.run("--once") == 4, run.text()
    tries = Counter(lines(run, "refused"))
    assert len(tries) <= 2, "no worker was started again"
    assert max(tries.values()) == 3
    assert run.text().count("the database is not up") == 1
    assert "ConnectionError: the database is not up (handler_under_test.py:" in run.text()
    assert "remedy: " in run.text()
    assert "Traceback" not in run.text()
    client = redis_server.client()
    assert_invariants(client)
    assert (lines(run, "mail"), dead_letters(client), done_count(client)) == ([], [], 0)
    (tmp_path / "gate").touch()
    assert run.run("--once") == 0, run.text()
    assert len(lines(run, "mail")) == done_count(client) == 20
    assert_invariants(client)


def test_with_once_one_that_fails_later_on_ends_the_run_soon(house, simulated, redis_server) -> None:
    simulated.add(20)
    body = """

    def startup():
        os.write(CALLS, b"startup 0\\n")
        if os.path.exists("gone"):
            raise ConnectionError("the database is gone")

    def handle(email):
        os.write(CALLS, b"mail 0\\n")
        os.close(os.open("gone", os.O_CREAT))
    """
    run = house(body, worker="procs = 1\nmax_mails = 5\nbatch_max = 1")
    assert run.run("--once") == 4, run.text()
    assert len(lines(run, "startup")) == 1 + 3
    assert run.text().count("the database is gone") == 1
    client = redis_server.client()
    assert_invariants(client)
    assert 0 < len(lines(run, "mail")) == done_count(client) < 20


def test_with_once_one_that_kills_its_worker_is_tried_three_times(house, simulated, redis_server) -> None:
    simulated.add(5)
    body = """

    import signal

    def startup():
        os.write(CALLS, b"startup 0\\n")
        os.kill(os.getpid(), signal.SIGSEGV)

    def handle(email):
        os.write(CALLS, b"mail 0\\n")
    """
    run = house(body, worker="procs = 1")
    assert run.run("--once") == 4, run.text()
    assert len(lines(run, "startup")) == 3
    assert "worker cannot start, tried 3 times in a row" in run.text()
    assert_invariants(redis_server.client())


def test_a_stop_before_startup_succeeded_shuts_nothing_down(house, simulated) -> None:
    simulated.add(5)
    run = house(BODY).start()
    wait_until(lambda: len(set(lines(run, "refused"))) == 2, "both workers have tried")
    assert run.stop() == 0
    assert lines(run, "shutdown") == []
    assert lines(run, "mail") == []


def test_a_worn_worker_shuts_down_and_its_successor_starts_up(
    house, simulated, redis_server, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    simulated.add(300)
    run = house(BODY, worker="procs = 1\nmax_mails = 50\nbatch_max = 10").start()
    wait_until(lambda: len(lines(run, "mail")) == 300, f"all are handled; {run.log}")
    wait_until(lambda: len(lines(run, "shutdown")) >= 2, "some have made room")
    assert run.stop() == 0
    assert lines(run, "shutdown") == lines(run, "startup")
    assert len(set(lines(run, "startup"))) == len(lines(run, "startup")) >= 3
    assert_invariants(redis_server.client())


def test_a_killed_worker_shuts_nothing_down_and_its_successor_starts_up(
    house, simulated, redis_server, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    simulated.add(20)
    run = house(BODY, worker="procs = 1").start()
    wait_until(lambda: len(lines(run, "mail")) == 20, f"all are handled; {run.log}")
    (killed,) = lines(run, "startup")
    os.kill(killed, signal.SIGKILL)
    simulated.add(20)
    client = redis_server.client()
    wait_until(lambda: done_count(client) == 40, f"the others are handled; {run.log}")
    assert run.stop() == 0
    assert killed not in lines(run, "shutdown")
    (successor,) = lines(run, "shutdown")
    assert lines(run, "startup") == [killed, successor]
    assert_invariants(client)


def test_a_reload_shuts_down_the_old_and_starts_up_the_new(house, simulated, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    run = house(BODY, worker="procs = 1").start()
    (before,) = wait_until(lambda: lines(run, "startup"), "it has started up")
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: len(lines(run, "startup")) == 2, "its successor, too")
    assert lines(run, "shutdown") == [before]
    simulated.add(5)
    wait_until(lambda: len(lines(run, "mail")) == 5, "and is at work")
    assert run.stop() == 0


def test_a_pool_that_is_opened_on_the_workers_loop_serves_its_mails(house, simulated, tmp_path: Path) -> None:
    simulated.add(50)
    body = """

    import asyncio

    async def startup():
        global pool
        pool = asyncio.Queue()
        pool.put_nowait(asyncio.get_running_loop())

    async def shutdown():
        os.write(CALLS, f"shutdown {pool.qsize()}\\n".encode())

    async def handle(email):
        loop = await pool.get()
        assert loop is asyncio.get_running_loop()
        await asyncio.sleep(0)
        pool.put_nowait(loop)
        os.write(CALLS, b"mail 0\\n")
    """
    run = house(body).start()
    wait_until(lambda: len(lines(run, "mail")) == 50, f"all are handled; {run.log}")
    assert run.stop() == 0
    assert lines(run, "shutdown") == [1, 1]


HANGS = """

    import asyncio, time
    from contextlib import suppress

    {kind} startup():
        os.write(CALLS, b"startup 0\\n")
        {body}

    def handle(email):
        os.write(CALLS, b"mail 0\\n")
"""
SWALLOWS = "while True:\n            with suppress(asyncio.CancelledError): await asyncio.sleep(60)"


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        ("def", "time.sleep(60)", r" \(handler_under_test\.py:\d+\)"),
        ("async def", "await asyncio.sleep(60)", ""),
        ("async def", SWALLOWS, ""),
    ],
)
def test_with_once_one_that_hangs_is_named_and_ends_the_run(
    house, simulated, redis_server, kind: str, body: str, place: str
) -> None:
    simulated.add(5)
    run = house(HANGS.format(kind=kind, body=body), worker="procs = 1", handler=f"{TARGET}\ntimeout = 0.5")
    assert run.run("--once") == 4, run.text()
    words = rf"handler_under_test\.startup{place} is not finished after handler\.timeout = 0\.5 s"
    assert re.search(words, run.text()), run.text()
    assert "remedy: " in run.text()
    assert lines(run, "mail") == []
    assert_invariants(redis_server.client())


def test_one_that_hangs_is_tried_again_in_a_fresh_worker(house, simulated) -> None:
    simulated.add(5)
    body = HANGS.format(kind="def", body='if not os.path.exists("gate"): time.sleep(60)')
    run = house(body, worker="procs = 1", handler=f"{TARGET}\ntimeout = 0.5").start()
    wait_until(lambda: len(lines(run, "startup")) >= 2, f"a second worker tries it; {run.log}")
    assert "handler_under_test.startup (handler_under_test.py:" in run.text()
    assert lines(run, "mail") == []
    (run.directory / "gate").touch()
    wait_until(lambda: len(lines(run, "mail")) == 5, f"all are handled; {run.log}")
    assert run.stop() == 0
