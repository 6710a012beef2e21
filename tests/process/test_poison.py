"""Mails that kill or hang their worker: they are blamed, and their neighbours go on."""

import pytest
from support.invariants import assert_invariants, dead_letters, done_count
from support.waiting import wait_until

TIMEOUT = 'target = "handler_under_test:handle"\ntimeout = 1.0'


def dead_ids(redis_server) -> list[int]:
    return sorted(int(letter[b"id"].rpartition(b":")[2]) for letter in dead_letters(redis_server.client()))


def test_many_mails_that_kill_do_not_end_the_supervisor(house, simulated, redis_server) -> None:
    simulated.add(200)
    run = house("""

    import os

    def handle(email):
        note(email)
        if email.uid % 40 == 0:
            os.kill(os.getpid(), 9)
    """)
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [40, 80, 120, 160, 200]
    assert done_count(redis_server.client()) == 195
    run.assert_repeats_are_marked()
    assert_invariants(redis_server.client())


def test_a_mail_that_kills_a_batch_handler_is_buried_alone(house, simulated, redis_server) -> None:
    simulated.add(60)
    run = house("""

    import os
    from fastmail_ingest import batch_handler

    @batch_handler
    def handle(emails):
        for email in emails:
            if email.uid == 33:
                os.kill(os.getpid(), 9)
        for email in emails:
            note(email)
    """)
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [33]
    assert len(run.handled()) == 59
    assert_invariants(redis_server.client())


def test_a_mail_that_kills_an_async_handler_is_buried_alone(house, simulated, redis_server) -> None:
    simulated.add(60)
    run = house("""

    import asyncio, os

    async def handle(email):
        await asyncio.sleep(0.02)
        if email.uid == 33:
            os.kill(os.getpid(), 9)
        await asyncio.sleep(0.02)
        note(email)
    """)
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [33]
    assert len(run.handled()) == 59
    assert_invariants(redis_server.client())


def test_a_mail_that_kills_a_threaded_handler_is_buried_alone(house, simulated, redis_server) -> None:
    simulated.add(60)
    body = """

    import os, time

    def handle(email):
        time.sleep(0.02)
        if email.uid == 33:
            os.kill(os.getpid(), 9)
        time.sleep(0.02)
        note(email)
    """
    run = house(body, handler='target = "handler_under_test:handle"\nthreads = 8')
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [33]
    assert len(run.handled()) == 59
    assert_invariants(redis_server.client())


def test_a_mail_that_hangs_once_is_handled_the_second_time(house, simulated, redis_server) -> None:
    simulated.add(50)
    body = """

    import time

    def handle(email):
        note(email)
        if email.uid == 25 and email.attempt == 1:
            time.sleep(3600)
    """
    run = house(body, handler=TIMEOUT)
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == []
    assert done_count(redis_server.client()) == 50
    assert [attempt for identity, attempt in run.calls() if identity.endswith(":25")] == [1, 2]
    run.assert_repeats_are_marked()


def test_an_async_handler_that_waits_too_long_costs_no_process(house, simulated, redis_server) -> None:
    simulated.add(50)
    body = """

    import asyncio

    async def handle(email):
        note(email)
        if email.uid == 25:
            await asyncio.sleep(3600)
    """
    run = house(body, handler=TIMEOUT, retry="attempts = 1")
    assert run.run("--once") == 0, run.text()
    (letter,) = dead_letters(redis_server.client())
    assert letter[b"error"] == b"TimeoutError"
    assert "0 restarts" in run.text()
    assert done_count(redis_server.client()) == 49


@pytest.mark.parametrize("form", ["def", "async def"])
def test_a_handler_that_exits_fails_its_own_mail_only(house, simulated, redis_server, form) -> None:
    simulated.add(40)
    body = f"""

    import sys

    {form} handle(email):
        note(email)
        if email.uid == 7:
            sys.exit(0)
    """
    run = house(body, retry="attempts = 1")
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [7]
    assert done_count(redis_server.client()) == 39
    assert "restarting" not in run.text()


def test_fetching_pauses_while_failed_mails_fill_the_stream(house, simulated, redis_server) -> None:
    simulated.add(1000)
    body = "\n\ndef handle(email):\n    note(email)\n    raise OSError('the database is down')\n"
    run = house(body, producer="high_water = 100\nwindow = 50", retry="first = 3600.0").start()
    wait_until(lambda: "fetching pauses" in run.text(), "fetching pauses")
    assert redis_server.client().scard("{fmi:0}:queued") < 300
    assert run.stop() == 0
    assert_invariants(redis_server.client())


def test_a_batch_handler_may_empty_its_list(house, simulated, redis_server) -> None:
    simulated.add(60)
    run = house("""

    from fastmail_ingest import batch_handler

    @batch_handler
    def handle(emails):
        while emails:
            note(emails.pop())
    """)
    assert run.run("--once") == 0, run.text()
    assert done_count(redis_server.client()) == 60
    assert run.repeats() == 0


@pytest.mark.parametrize("form", ["def", "async def"])
@pytest.mark.parametrize("what", ["Panic()", "KeyboardInterrupt", "GeneratorExit"])
def test_whatever_a_handler_raises_is_its_own_mails_failure(
    house, simulated, redis_server, form, what
) -> None:
    simulated.add(40)
    body = f"""

    class Panic(BaseException):
        pass

    {form} handle(email):
        note(email)
        if email.uid == 7:
            raise {what}
    """
    run = house(body, retry="attempts = 1")
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [7]
    assert done_count(redis_server.client()) == 39
    assert "0 restarts" in run.text()


def test_a_handler_that_leaves_the_process_has_not_finished_its_work(house, simulated, redis_server) -> None:
    simulated.add(100)
    run = house("""

    import os

    def handle(email):
        note(email)
        if email.uid == 7:
            os._exit(0)
    """)
    assert run.run("--once") == 0, run.text()
    assert dead_ids(redis_server) == [7]
    assert done_count(redis_server.client()) == 99


def test_the_child_of_a_handler_that_forks_handles_no_mail(house, simulated, redis_server) -> None:
    simulated.add(100)
    run = house("""

    import os, sys

    def handle(email):
        note(email)
        if email.uid == 50 and os.fork() == 0:
            sys.exit(0)
    """)
    assert run.run("--once") == 0, run.text()
    assert done_count(redis_server.client()) == 100
    assert run.repeats() == 0
