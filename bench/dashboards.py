"""What do open dashboards cost the mails, and how soon does the HTTP server answer?

    python bench/dashboards.py [--dashboards 20] [--emails 300000] [--rounds 5] [--json]

`bench --source stream` runs with its HTTP server on, in turns with nobody who looks and with that many listeners of
/api/events, each read by one small program. The medians of mails a second are compared. The answers are timed in a
run of their own, without load.
"""

import argparse
import contextlib
import json
import multiprocessing
import selectors
import socket
import statistics
import subprocess
import sys
import time

import apparatus
import psutil

COST_MAX, ANSWER_MAX_MS = 0.02, 100.0
PATHS = ("/health", "/ready", "/status", "/api/history", "/metrics")
# The bench as it is, but for the port of its HTTP server.
RUN = """
import sys
import msgspec
from fastmail_ingest.app.bench import plan as planning
from fastmail_ingest.app.bench.run import bench
from fastmail_ingest.config import AdminConfig
plain = planning.config
def config(*words):
    return msgspec.structs.replace(plain(*words), admin=AdminConfig(port=int(sys.argv[1])))
planning.config = config
plan = planning.BenchPlan(int(sys.argv[2]), "auto", "1500", None, "stream", "")
sys.exit(bench(plan, as_json=True))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listen(port: int, count: int, ready: "multiprocessing.synchronize.Event") -> None:
    """Read the events of that many dashboards until killed."""
    waiting = selectors.DefaultSelector()
    for _ in range(count):
        client = connected(port)
        client.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting.register(client, selectors.EVENT_READ)
    ready.set()
    while True:
        for key, _ in waiting.select():
            if not key.fileobj.recv(65536):
                waiting.unregister(key.fileobj)


def connected(port: int) -> socket.socket:
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.01)


def measure(emails: int, dashboards: int) -> tuple[float, float]:
    """Mails a second, and what the HTTP server used of one CPU, with so many who listen."""
    port, ready = free_port(), multiprocessing.Event()
    listening = multiprocessing.Process(target=listen, args=(port, dashboards, ready), daemon=True)
    listening.start()
    command = [sys.executable, "-c", RUN, str(port), str(emails)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=apparatus.ROOT) as run:
        ready.wait()
        share = busy(run.pid, run)
        assert run.stdout is not None
        told = json.loads(run.stdout.read())
    listening.kill()
    return told["emails_per_s"], share


def busy(supervisor: int, run: "subprocess.Popen[bytes]") -> float:
    """The share of one CPU that the HTTP server uses while the run lasts."""
    admin, used, lived = None, 0.0, 1.0
    while run.poll() is None:
        with contextlib.suppress(psutil.Error):
            if admin is None:
                children = psutil.Process(supervisor).children()
                admin = next((child for child in children if child.name() == "fmi-admin"), None)
            if admin is not None:
                times = admin.cpu_times()
                used, lived = times.user + times.system, time.time() - admin.create_time()
        time.sleep(0.1)
    return used / lived


def answers() -> dict[str, float]:
    """Median and worst of a hundred answers each, ms."""
    port = free_port()
    found = {}
    command = [sys.executable, "-c", RUN, str(port), "2000000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=apparatus.ROOT) as run:
        connected(port).close()  # it is there
        for path in PATHS:
            times = []
            for _ in range(100):
                began = time.perf_counter()
                with connected(port) as client:
                    client.sendall(
                        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
                    )
                    while client.recv(65536):
                        pass
                times.append((time.perf_counter() - began) * 1000)
            found[f"{path} median"] = round(statistics.median(times), 2)
            found[f"{path} worst"] = round(max(times), 2)
        run.terminate()
    return found


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dashboards", type=int, default=20)
    parser.add_argument("--emails", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs: dict[int, list[tuple[float, float]]] = {0: [], options.dashboards: []}
    for number in range(options.rounds):
        for count in sorted(runs, reverse=bool(number % 2)):
            runs[count].append(measure(options.emails, count))
            sys.stderr.write(f"{count} dashboards: {runs[count][-1]}\n")
    speed = {count: statistics.median(each[0] for each in found) for count, found in runs.items()}
    result = {
        "emails_per_s_unwatched": round(speed[0]),
        "emails_per_s_watched": round(speed[options.dashboards]),
        "throughput_lost": round(1 - speed[options.dashboards] / speed[0], 4),
        "cpu_of_admin_unwatched": round(statistics.median(each[1] for each in runs[0]), 4),
        "cpu_of_admin_watched": round(statistics.median(each[1] for each in runs[options.dashboards]), 4),
        **{f"{path}_ms": value for path, value in answers().items()},
    }
    rows = [[name.replace("_", " "), f"{value:,}"] for name, value in result.items()]
    apparatus.show(f"{options.dashboards} open dashboards", ("what", "value"), rows, result, options.json)


if __name__ == "__main__":
    main()
