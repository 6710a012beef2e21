"""The delivery guarantees as numbers: a dead host, a slow handler, a mail that kills. Prints a Markdown table.

The dead host runs in a PID namespace of its own (needs root and unshare(1)), so that nobody can look whether
its processes live: only its lease tells.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.invariants import assert_invariants, dead_letters, done_count
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.supervised import Supervised
from support.waiting import wait_until

RUNS = 5
LEASE_S = 10.0
SLOW_S = 60.0
BACKLOG = 10_000

STUCK_ON_ONE_HOST = """

import os, time

def handle(email):
    if os.environ.get("HOST") == "dying":
        time.sleep(3600)
    note(email)
"""
SLOW = f"\n\nimport time\n\ndef handle(email):\n    note(email)\n    if email.uid == 5:\n        time.sleep({SLOW_S})\n"
KILLER = """

import os

def handle(email):
    note(email)
    if email.uid == 5000:
        os.kill(os.getpid(), 9)
"""


TIMED = """

import time

def handle(email):
    os.write(CALLS, f"{email.id} {time.time():.6f}\\n".encode())
    time.sleep(0.002)
"""
RELOAD_MAILS, RELOAD_RATE = 600, 100.0


@contextmanager
def place(redis_binary: str) -> Iterator[tuple[Path, RedisServer, Simulated]]:
    """A directory, a Redis and a mail server for one run."""
    directory = Path(tempfile.mkdtemp(prefix="fmi-guarantees-"))
    redis_server = RedisServer(redis_binary)
    simulated = Simulated()
    with simulated.server:
        yield directory, redis_server, simulated
    redis_server.close()
    shutil.rmtree(directory)


def dead_host(redis_binary: str) -> float:
    """Seconds from the death of a whole host, without notice, until another has handled all its mails."""
    with place(redis_binary) as (directory, redis_server, simulated):
        run = Supervised(directory, simulated.port, redis_server.url, STUCK_ON_ONE_HOST)
        command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(run.config)]
        with (directory / "dying").open("ab") as log:
            dying = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
                cwd=directory, env={**os.environ, "HOST": "dying"}, stdout=log, stderr=log,
            )  # fmt: skip
        client = redis_server.client()
        simulated.add(4)
        wait_until(
            lambda: client.exists("{fmi:0}:live") and _pending(client) >= 2, "the dying host has mails"
        )
        run.start()
        wait_until(lambda: len(run.children("worker")) == 2, "the other host is up")
        begin = time.monotonic()
        dying.send_signal(signal.SIGKILL)
        dying.wait()
        run.wait_for_calls(4)
        took = time.monotonic() - begin
        wait_until(lambda: done_count(client) == 4, "all is settled")
        run.stop()
        assert_invariants(client)
        return took


def _pending(client: object) -> int:
    return int(client.xpending("{fmi:0}:live", "workers")["pending"])  # type: ignore[attr-defined]


def slow_handler(redis_binary: str) -> int:
    """How often a handler that sleeps for a minute is called for its mail, under the default timeout."""
    with place(redis_binary) as (directory, redis_server, simulated):
        simulated.add(100)
        run = Supervised(directory, simulated.port, redis_server.url, SLOW)
        if run.start("--once").wait(SLOW_S + 60) != 0:
            raise SystemExit(run.text())
        assert_invariants(redis_server.client())
        return sum(1 for identity, _ in run.calls() if identity.endswith(":5"))


def killing_mail(redis_binary: str) -> tuple[int, int, int]:
    """Of a backlog with one mail that kills: handled once, dead letters, workers killed."""
    with place(redis_binary) as (directory, redis_server, simulated):
        simulated.add(BACKLOG)
        run = Supervised(directory, simulated.port, redis_server.url, KILLER)
        if run.run("--once") != 0:
            raise SystemExit(run.text())
        calls: dict[str, int] = {}
        for identity, _ in run.calls():
            calls[identity] = calls.get(identity, 0) + 1
        killed = next(count for identity, count in calls.items() if identity.endswith(":5000"))
        assert_invariants(redis_server.client())
        return done_count(redis_server.client()), len(dead_letters(redis_server.client())), killed


def delays(redis_binary: str, *, reload: bool) -> list[float]:
    """Seconds from a mail's arrival to its handler, 100 mails a second; `reload`: HUP after a third of them."""
    with place(redis_binary) as (directory, redis_server, simulated):
        run = Supervised(directory, simulated.port, redis_server.url, TIMED).start()
        before = wait_until(lambda: pids if len(pids := run.children("worker")) == 2 else None, "two workers")
        simulated.add(1)
        run.wait_for_lines(1)
        arrived: list[float] = []
        begin = time.time()
        for number in range(RELOAD_MAILS):
            time.sleep(max(0.0, begin + number / RELOAD_RATE - time.time()))
            arrived.append(time.time())
            simulated.add(1)
            if reload and number == RELOAD_MAILS // 3:
                os.kill(run.pid, signal.SIGHUP)
        run.wait_for_lines(RELOAD_MAILS + 1)
        if reload and set(run.children("worker")) & set(before):
            raise SystemExit("the workers were not replaced")
        run.stop()
        called = dict(line.rsplit(" ", 1) for line in run.calls_file.read_text().splitlines())
        by_uid = {int(identity.rpartition(":")[2]): float(at) for identity, at in called.items()}
        return [by_uid[number + 2] - at for number, at in enumerate(arrived)]


def main() -> None:
    """Measure all and print."""
    redis_binary = shutil.which("redis-server")
    if redis_binary is None:
        raise SystemExit("redis-server is not on PATH")
    rows = []
    if os.getuid() == 0 and shutil.which("unshare"):
        taken = [dead_host(redis_binary) for _ in range(RUNS)]
        rows.append(
            (
                f"dead host to its mails handled by another (lease {LEASE_S:.0f} s), {RUNS} runs",
                f"median {statistics.median(taken):.1f} s, worst {max(taken):.1f} s",
            )
        )
    rows.append(
        (f"calls of a handler that sleeps {SLOW_S:.0f} s, default timeout", f"{slow_handler(redis_binary)}")
    )
    done, dead, killed = killing_mail(redis_binary)
    rows.append(
        (
            f"one mail of {BACKLOG:,} that kills its worker (max_deaths 3)",
            f"{done:,} handled, {dead} dead letter, {killed} workers killed",
        )
    )
    for what, reload in (("without a reload", False), ("with HUP in the middle", True)):
        taken = sorted(delays(redis_binary, reload=reload))
        p99 = taken[int(len(taken) * 0.99)]
        rows.append(
            (
                f"100 mails/s, arrival to handler, {what}",
                f"p50 {1000 * statistics.median(taken):.0f}, p99 {1000 * p99:.0f}, max {1000 * taken[-1]:.0f} ms",
            )
        )
    sys.stdout.write("| what | measured |\n|---|---|\n")
    sys.stdout.write("".join(f"| {what} | {value} |\n" for what, value in rows))


if __name__ == "__main__":
    main()
