"""Without a service manager: start waits until it is ready, stop leaves nothing behind, health says how it is."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from support.waiting import alive, wait_until

from fastmail_ingest.supervisor.birth import kernel
from fastmail_ingest.supervisor.pid_file import Written

ROOT = Path(__file__).parent.parent.parent
SLEEPS = """

    import subprocess, time

    def handle(email):
        note(email)
        subprocess.Popen(["sleep", "3600"])
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
        time.sleep(3600)
"""


class Daemon:
    """One directory with a configuration, and the scripts at work on it."""

    def __init__(self, made) -> None:
        self.made = made
        self.pid_file = made.directory / "supervisor.pid"
        self.log = made.directory / "supervisor.log"

    def script(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [ROOT / "scripts" / name, "--config", str(self.made.config), *words]
        environment = {**os.environ, "FASTMAIL_INGEST": str(Path(sys.executable).parent / "fastmail-ingest")}
        return subprocess.run(
            command, cwd=self.made.directory, env=environment, capture_output=True, text=True, check=False
        )

    @property
    def pid(self) -> int:
        written = Written.read(self.pid_file)
        assert written is not None
        return written.pid

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture
def daemon(house) -> Iterator:
    made: list[Daemon] = []

    def make(*words: str, **settings: str) -> Daemon:
        made.append(Daemon(house(*words, **settings)))
        return made[-1]

    yield make
    for each in made:
        each.script("stop", "--timeout", "0")


def test_start_waits_until_it_is_ready_and_stop_until_it_is_gone(daemon, simulated) -> None:
    run = daemon()
    started = run.script("start")
    assert started.returncode == 0, started.stderr
    assert f"has started (pid {run.pid}), ready after" in started.stderr
    roles = sorted(each.name().removeprefix("fmi-").rstrip("-01") for each in run.family())
    assert roles == ["maintenance", "producer", "worker", "worker"]
    simulated.add(20)
    run.made.wait_for_calls(20)
    again = run.script("start")
    assert again.returncode == 0
    assert f"is running already (pid {run.pid})" in again.stderr
    pid, family = run.pid, run.family()
    stopped = run.script("stop")
    assert stopped.returncode == 0
    assert f"(pid {pid}) has stopped" in stopped.stderr
    assert "left behind" not in stopped.stderr
    assert not any(alive(each.pid) for each in family)
    assert not run.pid_file.exists()
    assert "stopped in " in run.log.read_text()
    assert "does not listen" not in run.log.read_text()
    assert run.log.stat().st_mode & 0o777 == 0o600
    assert run.script("stop").returncode == 0


def test_a_second_supervisor_with_the_same_pid_file_is_refused(daemon) -> None:
    run = daemon()
    assert run.script("start").returncode == 0
    assert run.made.run("--pid-file", str(run.pid_file)) == 3
    assert f"held by another fastmail-ingest (pid {run.pid})" in run.made.text()
    assert run.script("stop").returncode == 0


def test_what_cannot_start_says_why_with_its_own_exit_code(daemon) -> None:
    run = daemon()
    run.made.config.write_text("[worker]\nprocs = 0\n")
    started = run.script("start")
    assert started.returncode == 2
    assert "remedy" in started.stderr
    assert "has ended again" in started.stderr
    assert not run.pid_file.exists()


def test_one_that_is_not_ready_in_time_goes_on(daemon, monkeypatch) -> None:
    run = daemon("\n\nimport time\ntime.sleep(3)\n\ndef handle(email):\n    note(email)\n")
    started = run.script("start", "--timeout", "0.5")
    assert started.returncode == 3
    assert "is not ready after" in started.stderr
    wait_until(lambda: run.pid_file.exists() and len(run.family()) == 4, "it has started after all")
    assert run.script("stop").returncode == 0


def test_what_does_not_stop_in_time_is_killed_with_all_that_it_started(daemon, simulated) -> None:
    simulated.add(2)
    run = daemon(SLEEPS, worker="procs = 2\nbatch_max = 1")
    assert run.script("start").returncode == 0
    run.made.wait_for_calls(2)
    wait_until(lambda: sum(each.name() == "sleep" for each in run.family()) == 4, "the handler's processes")
    family = run.family()
    stopped = run.script("stop", "--timeout", "1")
    assert stopped.returncode == 5
    assert "did not stop within 1 s and was killed" in stopped.stderr
    assert [each.name() for each in family if alive(each.pid)] == []
    written = Written.read(run.pid_file)
    assert written is not None
    assert written.pidfd() is None


def test_what_an_orderly_drain_leaves_behind_is_ended_too(daemon, simulated) -> None:
    simulated.add(1)
    leaves = SLEEPS.replace("time.sleep(3600)", "pass").replace(
        "import subprocess, time", "import subprocess"
    )
    run = daemon(leaves)
    assert run.script("start").returncode == 0
    run.made.wait_for_calls(1)
    wait_until(lambda: sum(each.name() == "sleep" for each in run.family()) == 2, "the handler's processes")
    family = run.family()
    stopped = run.script("stop")
    assert stopped.returncode == 0
    assert "2 processes that it had left behind were ended" in stopped.stderr
    assert [each.name() for each in family if alive(each.pid)] == []


def test_our_own_redis_ends_with_it_even_if_it_is_killed(daemon) -> None:
    run = daemon(redis=f'data_dir = "{Path("data")}"')
    assert run.script("start").returncode == 0
    family = run.family()
    assert any("-server" in each.name() for each in family)
    assert run.script("stop", "--timeout", "0").returncode in {0, 5}
    assert [each.name() for each in family if alive(each.pid)] == []
    assert run.script("start").returncode == 0  # its data are free again
    assert run.script("stop").returncode == 0


def test_a_process_that_has_the_number_now_is_left_alone(daemon) -> None:
    run = daemon()
    innocent = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    for born in ("1", "0"):
        run.pid_file.write_text(f"{innocent.pid}\n{born} {kernel()}\n1.0\n")
        stopped = run.script("stop", "--timeout", "0")
        assert stopped.returncode == 0
        assert "is not running" in stopped.stderr
        assert innocent.poll() is None
    assert run.script("start").returncode == 0  # nor does it keep us from starting
    assert run.pid != innocent.pid
    assert run.script("stop").returncode == 0
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


def test_after_kill_9_stop_finds_nobody_and_start_starts(daemon) -> None:
    run = daemon()
    assert run.script("start").returncode == 0
    pid, family = run.pid, run.family()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(each.pid) for each in family), "all are gone")
    assert "is not running" in run.script("stop").stderr
    assert run.script("start").returncode == 0
    assert run.pid != pid
    assert run.script("stop").returncode == 0


# --- health ------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_health_says_ready_then_why_not_then_that_nobody_answers(daemon, redis_server) -> None:
    run = daemon(admin=f"port = {free_port()}")
    assert run.script("health_check").returncode == 2
    assert run.script("start").returncode == 0
    wait_until(lambda: run.script("health_check").returncode == 0, "it is ready")
    assert run.script("health_check").stdout == "ready\n"
    redis_server.kill()
    wait_until(lambda: run.script("health_check").returncode == 1, "it says that it is not")
    told = run.script("health_check").stdout.splitlines()
    assert told[0].startswith("not ready: ")
    assert any(line.startswith("redis_unreachable redis: ") and " remedy: " in line for line in told[1:])
    as_json = json.loads(run.script("health_check", "--json").stdout)
    assert as_json["state"] == "not_ready"
    assert "redis_unreachable" in [reason["name"] for reason in as_json["reasons"]]
    redis_server.start()
    wait_until(lambda: run.script("health_check").returncode == 0, "it is ready again")
    assert run.script("stop").returncode == 0
    gone = run.script("health_check")
    assert gone.returncode == 2
    assert gone.stdout.startswith("no answer: 1 reason\nno_answer http://127.0.0.1:")


class Stranger(BaseHTTPRequestHandler):
    """Another program on our port."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ready": "\x1b[31mperhaps", "reasons": 1}' + b" " * 3_000_000)

    def log_message(self, *_: object) -> None:
        return


def test_another_program_on_the_port_is_no_health(daemon) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        told = daemon().script("health_check", "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert told.returncode == 2
    assert "answered with 200, and not as fastmail-ingest does" in told.stdout
    assert "\x1b" not in told.stdout


def test_one_who_takes_the_connection_and_says_nothing_is_given_up(daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        told = daemon().script("health_check", "--url", url, "--timeout", "0.2", "--json")
    assert told.returncode == 2
    assert json.loads(told.stdout)["state"] == "no_answer"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--url", "https://127.0.0.1:1"), "expected http://HOST:PORT"),
        (("--url", "127.0.0.1:8080"), "expected http://HOST:PORT"),
        (("--url", "http://127.0.0.1:99999"), "expected http://HOST:PORT"),
        ((), r"0 is no HTTP, so there is nobody to ask. remedy: port = 8080"),
    ],
)
def test_health_that_cannot_be_asked_for_says_what_to_do(daemon, words, message) -> None:
    told = daemon().script("health_check", *words)
    assert told.returncode == 2
    assert message in told.stderr
    assert "Traceback" not in told.stderr
