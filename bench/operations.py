"""How quickly it stops, replaces and vanishes, under load: each case several times, median and worst.

Prints a Markdown table. Load: a simulated mailbox that is far from empty, a handler that writes down its calls.
"""

import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.invariants import assert_invariants
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.supervised import Supervised

RUNS = 7
MAILS = 20_000
_LOOK_EVERY_S = 0.002


def seconds_until(fact: Callable[[], bool]) -> float:
    """How long until this is so."""
    begin = time.monotonic()
    while not fact():
        time.sleep(_LOOK_EVERY_S)
    return time.monotonic() - begin


def sigterm(supervised: Supervised) -> float:
    begin = time.monotonic()
    code = supervised.stop(signal.SIGTERM)
    if code != 0:
        raise SystemExit(f"exit code {code}")
    return time.monotonic() - begin


def worker_replaced(supervised: Supervised) -> float:
    before = set(supervised.children("worker"))
    os.kill(min(before), signal.SIGKILL)
    took = seconds_until(lambda: bool(set(supervised.children("worker")) - before))
    supervised.stop()
    return took


def supervisor_killed(supervised: Supervised) -> float:
    children = supervised.children()
    os.kill(supervised.pid, signal.SIGKILL)
    took = seconds_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in children))
    supervised.wait()
    return took


def measure(case: Callable[[Supervised], float], redis_binary: str) -> list[float]:
    """Run a case under load; afterwards a second run must handle the rest, and the invariants must hold."""
    taken = []
    for _ in range(RUNS):
        directory = Path(tempfile.mkdtemp(prefix="fmi-operations-"))
        redis_server = RedisServer(redis_binary, appendfsync="everysec")
        simulated = Simulated()
        with simulated.server:
            simulated.add(MAILS)
            supervised = Supervised(directory, simulated.port, redis_server.url).start()
            supervised.wait_for_calls(MAILS // 10)
            taken.append(case(supervised))
            supervised.run("--once")
        supervised.assert_repeats_are_marked()
        assert_invariants(redis_server.client())
        if len(supervised.handled()) != MAILS:
            raise SystemExit(f"{MAILS - len(supervised.handled())} mails were lost")
        redis_server.close()
        shutil.rmtree(directory)
    return taken


def main() -> None:
    """Measure all cases."""
    redis_binary = shutil.which("redis-server")
    if redis_binary is None:
        raise SystemExit("redis-server is not on PATH")
    cases = {
        "SIGTERM under load to exit 0": sigterm,
        "kill -9 of a worker to its successor's start": worker_replaced,
        "kill -9 of the supervisor to all children gone": supervisor_killed,
    }
    sys.stdout.write("| case | median | worst | runs | lost |\n|---|---|---|---|---|\n")
    for name, case in cases.items():
        taken = measure(case, redis_binary)
        row = f"| {name} | {statistics.median(taken):.3f} s | {max(taken):.3f} s | {len(taken)} | 0 |\n"
        sys.stdout.write(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
