"""HUP with a changed configuration: the new one takes effect, or the old one goes on."""

import os
import signal

from support.invariants import assert_invariants
from support.waiting import wait_until


def two_workers(run) -> list[int]:
    return wait_until(lambda: pids if len(pids := run.children("worker")) == 2 else None, "two workers")


def replaced(run, before: list[int]) -> bool:
    now = run.children("worker")
    return len(now) == 2 and not set(now) & set(before)


def rewrite(run, old: str, new: str) -> None:
    text = run.config.read_text()
    assert old in text
    run.config.write_text(text.replace(old, new))


def test_a_broken_configuration_changes_nothing(house, simulated) -> None:
    run = house().start()
    before = two_workers(run)
    rewrite(run, "procs = 2", 'procs = "many"')
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: "not reloaded" in run.text(), "it says so")
    simulated.add(100)
    run.wait_for_calls(100)
    assert len(run.children("worker")) == len(before)
    assert run.stop() == 0


def test_a_broken_handler_changes_nothing(house, simulated) -> None:
    run = house().start()
    two_workers(run)
    (run.directory / "handler_under_test.py").write_text("def handle(email:\n")
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: "not reloaded" in run.text(), "it says so")
    simulated.add(100)
    run.wait_for_calls(100)
    assert run.stop() == 0


def test_a_handler_that_became_async_with_more_in_hand(house, simulated, redis_server) -> None:
    run = house().start()
    before = two_workers(run)
    source = (run.directory / "handler_under_test.py").read_text().partition("import time")[0]
    source += "import asyncio\n\n\nasync def handle(email):\n    await asyncio.sleep(0.02)\n    note(email)\n"
    (run.directory / "handler_under_test.py").write_text(source)
    target = 'target = "handler_under_test:handle"'
    rewrite(run, target, f"{target}\nconcurrency = 50")
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: replaced(run, before), "both workers are replaced")
    simulated.add(2000)
    wait_until(lambda: len(run.handled()) == 2000 or run.process.poll() is not None, "all is handled", 15.0)
    assert run.process.poll() is None, run.text()
    assert len(run.handled()) == 2000
    assert run.stop() == 0
    assert run.repeats() == 0
    assert "0 restarts" in run.text(), run.text()
    assert_invariants(redis_server.client())


def test_accounts_that_were_added_are_all_followed(house, simulated) -> None:
    simulated.add(20)
    run = house(producer="processes = 3").start()
    run.wait_for_calls(20)
    block = run.config.read_text().partition("[redis]")[0]
    more = "".join(block.replace('"sim"', f'"more{number}"') for number in range(2))
    run.config.write_text(more + run.config.read_text())
    os.kill(run.pid, signal.SIGHUP)
    wait_until(
        lambda: {identity.partition(":")[0] for identity in run.handled()} == {"sim", "more0", "more1"},
        f"the mails of all three accounts are handled; {run.log}",
        5.0,
    )
    assert run.stop() == 0


def test_a_broken_configuration_leaves_every_process_as_it_is(house) -> None:
    run = house().start()
    before = two_workers(run)
    rewrite(run, "procs = 2", 'procs = "many"')
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: "not reloaded" in run.text(), "it says so")
    os.kill(run.pid, signal.SIGUSR1)
    wait_until(lambda: "taken" in run.text(), "the status is logged")
    assert run.children("worker") == before
    assert run.stop() == 0


def test_a_worker_that_does_not_hear_is_replaced_nevertheless(house, simulated, redis_server) -> None:
    simulated.add(20)
    body = """

    import signal

    def handle(email):
        note(email)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    """
    run = house(body, supervisor="drain_timeout = 1.0").start()
    before = two_workers(run)
    run.wait_for_calls(20)
    os.kill(run.pid, signal.SIGHUP)
    wait_until(lambda: replaced(run, before), "both workers are replaced")
    simulated.add(20)
    run.wait_for_calls(40)
    run.assert_repeats_are_marked()
    assert run.repeats() == 0
