"""Mails that take long, workers that wear out, dependencies that are down, processes that are stuck."""

import os
import signal
from pathlib import Path

from support.invariants import assert_invariants, dead_letters, done_count
from support.waiting import wait_until

from fastmail_ingest.model.ending import Ending
from fastmail_ingest.pipeline.custody import STALE_S, awake_s
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

TARGET = 'target = "handler_under_test:handle"'


def test_a_mail_that_takes_long_keeps_none_of_its_neighbours(house, simulated, redis_server) -> None:
    simulated.add(2000)
    gate = Path(redis_server.directory) / "gate"
    body = f"""

    import os, time

    def handle(email):
        if email.uid == 700:
            note(email)
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)
            return
        note(email)
    """
    run = house(body).start()
    # All others are handled while it is in hand; were they kept, this would never come true.
    run.wait_for_calls(2000)
    client = redis_server.client()
    wait_until(lambda: done_count(client) == 1999, "all others are settled")
    gate.touch()
    wait_until(lambda: done_count(client) == 2000, "and it, too")
    assert run.stop() == 0
    assert run.repeats() == 0
    assert_invariants(client)


def test_async_hands_that_are_full_keep_nothing_either(house, simulated, redis_server) -> None:
    simulated.add(400)
    gate = Path(redis_server.directory) / "gate"
    body = f"""

    import asyncio, os

    async def handle(email):
        note(email)
        if email.uid in (50, 51, 52):
            while not os.path.exists({str(gate)!r}):
                await asyncio.sleep(0.01)
    """
    run = house(body, handler=f"{TARGET}\nconcurrency = 3").start()
    client = redis_server.client()
    wait_until(lambda: done_count(client) == 397, "all others are settled")
    gate.touch()
    run.wait_for_calls(400)
    assert run.stop() == 0
    assert run.repeats() == 0
    assert_invariants(client)


def test_a_suspect_that_takes_long_keeps_nobody_waiting(house, simulated, redis_server) -> None:
    gate = Path(redis_server.directory) / "gate"
    body = f"""

    import asyncio, os

    async def handle(email):
        note(email)
        if email.uid == 33:
            if email.attempt == 1:
                os.kill(os.getpid(), 9)
            while not os.path.exists({str(gate)!r}):
                await asyncio.sleep(0.01)
    """
    simulated.add(400)
    run = house(body).start()
    client = redis_server.client()
    wait_until(lambda: done_count(client) == 399, "all others are settled")
    gate.touch()
    wait_until(lambda: done_count(client) == 400, "and the suspect")
    assert run.stop() == 0
    run.assert_repeats_are_marked()
    assert_invariants(client)


def test_workers_make_room_after_so_many_mails(house, simulated, redis_server) -> None:
    simulated.add(3000)
    run = house("\n\ndef handle(email):\n    note(email)\n", worker="procs = 2\nmax_mails = 500")
    assert run.run("--once") == 0, run.text()
    assert "mails handled: making room" in run.text()
    assert "0 restarts" in run.text()
    assert len(run.handled()) == 3000
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


def test_a_worker_that_leaks_makes_room(house, simulated, redis_server) -> None:
    body = """

    LEAK = []

    def handle(email):
        note(email)
        LEAK.append(bytearray(1_000_000))
    """
    simulated.add(600)
    run = house(body, worker="procs = 2\nmax_rss = 200000000").start()
    run.wait_for_calls(600)
    wait_until(lambda: "of memory used: making room" in run.text(), "it makes room")
    assert run.stop() == 0, run.text()
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


def test_while_a_dependency_is_down_no_mail_is_taken_and_no_attempt_burnt(
    house, simulated, redis_server
) -> None:
    up = Path(redis_server.directory) / "up"
    body = f"""

    import os

    def handle(email):
        note(email)
        if not os.path.exists({str(up)!r}):
            raise ConnectionError("the database is down")
    """
    settings = {
        "breaker": "failures = 5\nrecovery = 0.2\nsuccesses = 2",
        "retry": "attempts = 2\nfirst = 0.05",
    }
    simulated.add(500)
    run = house(body, **settings).start()
    wait_until(lambda: run.text().count("its probe failed") >= 3, "probes fail")
    assert len(run.calls()) < 100
    up.touch()
    client = redis_server.client()
    wait_until(lambda: done_count(client) == 500, "all is handled as soon as it is up")
    assert run.stop() == 0
    assert not dead_letters(client)
    assert_invariants(client)


def test_a_finite_run_does_not_wait_for_a_dependency(house, simulated, redis_server) -> None:
    simulated.add(200)
    body = "\n\ndef handle(email):\n    note(email)\n    raise ConnectionError('down')\n"
    run = house(body, breaker="failures = 5\nrecovery = 3600.0")
    assert run.run("--once") == 0, run.text()
    assert "waits for the next run" in run.text()
    assert not dead_letters(redis_server.client())
    assert_invariants(redis_server.client())


def test_a_handler_that_every_mail_kills_does_not_run_through_the_mailbox(
    house, simulated, redis_server
) -> None:
    simulated.add(500)
    body = "\n\nimport os\n\ndef handle(email):\n    note(email)\n    os.kill(os.getpid(), 9)\n"
    run = house(body, breaker="failures = 3\nrecovery = 3600.0").start()
    wait_until(lambda: "in a row killed worker" in run.text(), "it stops trying")
    assert len(run.calls()) < 20
    assert run.stop() == 0, run.text()
    assert_invariants(redis_server.client())


def test_a_worker_that_is_stuck_is_replaced(house, simulated, redis_server) -> None:
    run = house(worker="procs = 1", supervisor="stall_timeout = 1.0").start()
    (worker,) = wait_until(lambda: run.children("worker"), "a worker")
    simulated.add(20)
    # With a mail in hand it would be the handler that hangs, and that has more time.
    wait_until(lambda: done_count(redis_server.client()) == 20, "nothing is in its hand")
    os.kill(worker, signal.SIGSTOP)
    simulated.add(50)
    run.wait_for_calls(70)
    assert "mail waits and it has settled nothing" in run.text()
    assert run.stop() == 0
    run.assert_repeats_are_marked()
    assert_invariants(redis_server.client())


def test_a_frozen_worker_whose_mails_were_taken_over_handles_none_of_them(
    house, simulated, redis_server
) -> None:
    """As after a suspended machine: it wakes with a batch in memory that has become others' meanwhile."""
    body = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.005)\n"
    simulated.add(600)
    run = house(body, worker="procs = 1").start()
    run.wait_for_calls(200)
    (frozen,) = run.children("worker")
    os.kill(frozen, signal.SIGSTOP)
    stopped_at = awake_s()
    client = redis_server.client()
    ledger = Ledger(redis_server.url, "", Arguments(Keys("fmi"), 90))
    taken_over = 0
    for consumer in client.xinfo_consumers("{fmi:0}:live", "workers"):
        taken_over += ledger.put_back(consumer["name"].decode(), Ending())[0]
    assert taken_over > 10
    wait_until(lambda: awake_s() > stopped_at + 1.1 * STALE_S, "it was frozen for long enough to notice")
    os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: done_count(client) == 600, "all is settled")
    assert run.stop() == 0
    assert "belong to other workers now" in run.text()
    run.assert_repeats_are_marked()
    # Only what was in the handler's hand, or handled and not settled yet (10 ms of work), may come twice.
    assert run.repeats() <= 5
    assert_invariants(client)
