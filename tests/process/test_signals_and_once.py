"""Signals that change the crew while a finite run is under way: `--once` still means all of it."""

import os
import signal

from support.invariants import assert_invariants
from support.waiting import wait_until

COUNT = 2000


def test_hup_during_a_finite_run_does_not_end_it_early(house, simulated, redis_server) -> None:
    simulated.add(COUNT)
    # A low mark keeps the producer at work: it is among those that are replaced.
    run = house(producer="high_water = 100\nappend_max = 50\nwindow = 50").start("--once")
    run.wait_for_calls(100)
    os.kill(run.pid, signal.SIGHUP)
    assert run.wait() == 0
    assert len(run.handled()) == COUNT
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


def test_ttou_during_a_finite_run_does_not_end_it_early(house, simulated, redis_server) -> None:
    simulated.add(COUNT)
    slow = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.002)\n"
    run = house(slow).start("--once")
    client = redis_server.client()
    # The mailbox is empty for the producer, so only the workers are left to finish.
    run.wait_for_calls(1)
    wait_until(lambda: not run.children("producer"), "all is fetched")
    assert len(run.handled()) < COUNT, "the handler is too fast for this test"
    os.kill(run.pid, signal.SIGTTOU)
    assert run.wait() == 0
    assert len(run.handled()) == COUNT
    assert run.repeats() == 0
    assert_invariants(client)


def test_a_second_term_shortens_the_drain(house, simulated, redis_server) -> None:
    simulated.add(10)
    run = house("\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(60)\n").start()
    run.wait_for_calls(1)
    os.kill(run.pid, signal.SIGTERM)
    wait_until(lambda: "stopping: signal SIGTERM" in run.text(), "the drain begins")
    assert run.stop() == 5
    assert not run.children()
    client = redis_server.client()
    assert_invariants(client)
    assert client.xlen("{fmi:0}:dead") == 0


def test_quit_stops_at_once(house, simulated, redis_server) -> None:
    simulated.add(10)
    run = house("\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(60)\n").start()
    run.wait_for_calls(1)
    assert run.stop(signal.SIGQUIT) == 5
    assert_invariants(redis_server.client())


def test_ctrl_c_of_the_group_then_a_new_start_handles_the_rest(house, simulated, redis_server) -> None:
    simulated.add(COUNT)
    run = house().start()
    run.wait_for_calls(100)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait() == 0
    assert run.run("--once") == 0
    assert len(run.handled()) == COUNT
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


def test_usr1_tells_the_status(house) -> None:
    run = house().start()
    wait_until(lambda: len(run.children("worker")) == 2, "two workers")
    os.kill(run.pid, signal.SIGUSR1)
    wait_until(lambda: run.text().count(" taken, ") >= 4, "one line a child")
    assert run.stop() == 0
