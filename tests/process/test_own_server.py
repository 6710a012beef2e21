"""Our own Redis under the supervisor: killed, it comes back with all it had."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.supervised import Supervised
from support.waiting import alive, wait_until


@pytest.fixture
def own(tmp_path: Path, simulated, redis_binary: str):
    body = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.001)\n"
    run = Supervised(tmp_path, simulated.port, body=body, redis=f'data_dir = "{tmp_path}/data"')
    yield run
    children = run.children()
    run.close()
    wait_until(lambda: not any(alive(pid) for pid in children), "no child is left")


def test_kill_9_of_our_own_server_loses_nothing(own, simulated) -> None:
    simulated.add(3000)
    own.start("--once")
    own.wait_for_calls(300)
    (server,) = own.children("redis")
    os.kill(server, signal.SIGKILL)
    assert own.wait() == 0, own.text()
    assert len(own.handled()) == 3000
    own.assert_repeats_are_marked()


def test_stop_and_start_again_with_our_own_server(own, simulated) -> None:
    simulated.add(2000)
    own.start()
    own.wait_for_calls(200)
    assert own.stop() == 0
    assert not own.children()
    assert own.run("--once") == 0
    assert len(own.handled()) == 2000
    assert own.repeats() == 0


def test_kill_9_of_the_supervisor_takes_our_own_server_with_it(own, simulated) -> None:
    simulated.add(2000)
    own.start()
    own.wait_for_calls(200)
    children = own.children()
    assert own.children("redis")
    os.kill(own.pid, signal.SIGKILL)
    own.wait()
    wait_until(lambda: not any(alive(pid) for pid in children), "no child outlives the supervisor")
    assert own.run("--once") == 0
    assert len(own.handled()) == 2000
    own.assert_repeats_are_marked()


def test_a_second_supervisor_on_the_same_data_is_refused(tmp_path, simulated) -> None:
    first = Supervised(tmp_path, simulated.port).start()
    wait_until(lambda: len(first.children("worker")) == 2, "the first one works")
    command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(first.config)]
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3
    assert "in use by another fastmail-ingest" in second.stderr
    assert first.stop() == 0
