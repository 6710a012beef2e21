"""As PID 1 of a container, without an init: orphans are reaped, deaths are noticed, TERM is heeded at any time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.invariants import assert_invariants
from support.waiting import alive, wait_until

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
ORPHANS = """

    import subprocess

    def handle(email):
        # The shell ends at once; what it leaves to nobody ends when the file is there.
        subprocess.run(["sh", "-c", "(until [ -e go ]; do sleep 0.05; done) & (exec true) &"], check=True)
        note(email)
"""


class Container:
    """A PID namespace whose first process is a supervise."""

    def __init__(self, made) -> None:
        if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this user may not make PID namespaces (unshare --pid)")
        self.made = made

    def start(self) -> "Container":
        command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(self.made.config)]
        with self.made.log.open("ab") as log:
            self.outer = subprocess.Popen(
                [*UNSHARE, *command], cwd=self.made.directory, stdout=log, stderr=log, start_new_session=True
            )
        self.init = wait_until(self._first, "its first process")
        return self

    def _first(self) -> psutil.Process | None:
        return next(iter(psutil.Process(self.outer.pid).children()), None)

    def children(self, name: str = "") -> list[psutil.Process]:
        return [each for each in self.init.children() if _name(each).startswith(name)]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.init.send_signal(number)
        return self.outer.wait(60)

    def close(self) -> None:
        self.outer.kill()
        self.outer.wait()


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "gone"


@pytest.fixture
def container(house) -> Iterator:
    made: list[Container] = []

    def make(body: str, **settings: str) -> Container:
        made.append(Container(house(body, **settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_orphans_are_reaped_and_term_drains(container, simulated, redis_server) -> None:
    simulated.add(20)
    run = container(ORPHANS).start()
    assert int(Path(f"/proc/{run.init.pid}/status").read_text().partition("NSpid:")[2].split()[1]) == 1
    run.made.wait_for_calls(20)
    wait_until(lambda: len(run.children("sh")) == 20, "the orphans are its own now")
    orphans = run.children("sh")
    (run.made.directory / "go").touch()
    wait_until(lambda: not run.children("sh"), "they have ended, and none is left as a zombie")
    assert not any(Path(f"/proc/{each.pid}").exists() for each in orphans)
    assert len(run.children("fmi-worker")) == 2
    assert run.end() == 0
    assert "died" not in run.made.text()
    assert_invariants(redis_server.client())


def test_the_death_of_a_child_among_orphans_is_noticed(container, simulated) -> None:
    simulated.add(20)
    run = container(ORPHANS).start()
    run.made.wait_for_calls(20)
    before = {each.pid for each in run.children("fmi-worker")}
    (run.made.directory / "go").touch()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: len(now := {each.pid for each in run.children("fmi-worker")}) == 2 and not now & before,
        "both are replaced",
    )
    assert run.made.text().count("died after") == 2
    assert run.end() == 0


def test_term_ends_it_before_it_has_begun(container) -> None:
    run = container(
        "\n\nimport time\n\nopen('imported', 'w').close()\ntime.sleep(3600)\n\ndef handle(email): pass\n"
    )
    run.start()
    wait_until((run.made.directory / "imported").exists, "the handler is being imported")
    assert run.end() == 128 + signal.SIGTERM


def test_kill_9_of_the_first_process_leaves_nothing(container) -> None:
    run = container("\n\ndef handle(email): pass\n").start()
    wait_until(lambda: len(run.children("fmi-worker")) == 2, "two workers")
    children = [each.pid for each in run.children()]
    run.end(signal.SIGKILL)
    assert not any(alive(pid) for pid in children)
