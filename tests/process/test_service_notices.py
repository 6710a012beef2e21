"""A real supervise under a service manager that listens: ready, alive, reloading, stopping; and nobody else speaks."""

import os
import signal
from pathlib import Path

import pytest
from support.service_manager import ServiceManager
from support.waiting import wait_until

ENVIRONMENT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with ServiceManager(tmp_path) as made:
        for name, value in made.environment(watchdog_s=2.0).items():
            monkeypatch.setenv(name, value)
        yield made


def test_it_says_ready_when_all_are_at_work_and_stopping_when_it_drains(house, manager) -> None:
    run = house().start()
    manager.wait_for("READY", "1")
    assert len(run.children("worker")) == 2
    assert len(run.children("producer")) == 1
    assert len(run.children("maintenance")) == 1
    manager.wait_for("STATUS", "running: ")
    manager.wait_for("WATCHDOG", "1", times=3)
    assert run.stop() == 0
    assert manager.order("READY", "STOPPING") == ["READY", "STOPPING"]
    assert manager.listen()[-1] == {"STATUS": "stopped: signal SIGTERM"}


def test_children_and_handlers_do_not_have_its_words(house, simulated, manager) -> None:
    simulated.add(1)
    run = house(
        f"""

    import os, subprocess

    at_import = [name for name in {ENVIRONMENT!r} if name in os.environ]

    def handle(email):
        there = subprocess.run(["env"], capture_output=True, text=True).stdout.split()
        names = at_import + [line.split("=")[0] for line in there]
        os.write(CALLS, f"{{[name for name in names if name in {ENVIRONMENT!r}]}}\\n".encode())
    """
    ).start()
    run.wait_for_lines(1)
    assert run.calls_file.read_text() == "[]\n"
    assert run.stop() == 0


def test_a_reload_begins_with_reloading_and_ends_with_ready(house, manager) -> None:
    run = house().start()
    manager.wait_for("READY")
    before = set(run.children("worker"))
    os.kill(run.pid, signal.SIGHUP)
    (begin,) = manager.wait_for("RELOADING")
    assert int(begin["MONOTONIC_USEC"]) > 0
    manager.wait_for("READY", times=2)
    assert len(after := run.children("worker")) == 2
    assert not before & set(after)
    assert run.stop() == 0
    assert manager.order("READY", "RELOADING", "STOPPING") == ["READY", "RELOADING", "READY", "STOPPING"]


def test_a_refused_reload_ends_with_ready_and_says_so(house, manager) -> None:
    run = house().start()
    manager.wait_for("READY")
    before = set(run.children("worker"))
    whole = run.config.read_text()
    run.config.write_text("broken = [")
    os.kill(run.pid, signal.SIGHUP)
    manager.wait_for("READY", times=2)
    manager.wait_for("STATUS", "the last reload was refused")
    assert set(run.children("worker")) == before
    run.config.write_text(whole)
    assert run.stop() == 0


def test_a_long_drain_asks_for_more_time(house, simulated, manager) -> None:
    simulated.add(1)
    run = house(
        """

    import time

    def handle(email):
        note(email)
        while not os.path.exists("go on"):
            time.sleep(0.01)
    """
    ).start()
    run.wait_for_calls(1)
    os.kill(run.pid, signal.SIGTERM)
    manager.wait_for("STOPPING")
    heard = len([each for each in manager.listen() if "EXTEND_TIMEOUT_USEC" in each])
    manager.wait_for("EXTEND_TIMEOUT_USEC", "30000000", times=heard + 2)
    (run.directory / "go on").touch()
    assert run.wait() == 0


def test_a_role_that_keeps_dying_is_the_last_status(house, manager) -> None:
    run = house(
        """

    def startup():
        raise SystemExit(9)

    def handle(email):
        pass
    """,
        supervisor="short_lives_max = 1",
    ).start()
    manager.wait_for("STATUS", "worker died young")
    assert run.wait() == 4
    assert manager.order("STOPPING") == ["STOPPING"]


def test_a_loop_that_stands_still_is_silent_although_its_children_work(house, simulated, manager) -> None:
    run = house(
        """

    import time

    def handle(email):
        note(email)
        time.sleep(1)
    """,
        worker="procs = 1",
    ).start()
    manager.wait_for("WATCHDOG", times=2)
    os.kill(run.pid, signal.SIGSTOP)
    wait_until(lambda: _state(run.pid) == "T", "it stands still")
    heard = len(manager.listen())
    simulated.add(4)
    run.wait_for_calls(4)  # as long as several beats
    assert len(manager.listen()) == heard
    os.kill(run.pid, signal.SIGCONT)
    wait_until(lambda: len(manager.listen()) > heard, "it speaks again")
    assert run.stop() == 0


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
