"""What do metrics cost: the hot path, a scrape, and a worker's restart?

    python bench/metrics_cost.py --before DIR [--after DIR] [--emails 200000] [--rounds 7] [--json]
    python bench/metrics_cost.py                                      (only the scrape)

DIR is a checkout from before metrics were counted (`git worktree add DIR COMMIT`). Both run `bench --source stream` in
turns; the medians are compared: mails a second, and CPU of the workers a mail, which shakes less. The scrape is that of
16 living workers after 1,000 restarts, from real forked processes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import apparatus
import msgspec

from fastmail_ingest.model.entry import Dead, Delayed, Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.telemetry.dead_files import absorb
from fastmail_ingest.telemetry.exposition import Exposition
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory, begin_counting
from fastmail_ingest.telemetry.worker_metrics import WorkerMetrics

WORKERS, RESTARTS, SCRAPES = 16, 1000, 50
COST_MAX, SCRAPE_MAX_MS = 0.05, 50.0


class Speed(msgspec.Struct, frozen=True):
    """One run of `bench`."""

    emails_per_s: float
    worker_us_per_mail: float


def measure(tree: Path, emails: int) -> Speed:
    """Run `bench` out of a source tree."""
    command = [
        sys.executable,
        "-m",
        "fastmail_ingest",
        "bench",
        "--source",
        "stream",
        "--emails",
        str(emails),
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    told = json.loads(done.stdout)
    return Speed(told["emails_per_s"], told["cpu_s_per_1000"]["worker"] * 1000)


def compare(trees: tuple[Path, Path], emails: int, rounds: int) -> dict[str, float]:
    """Run both in turns, each first as often as the other; the tree with metrics comes second."""
    runs: dict[Path, list[Speed]] = {tree: [] for tree in trees}
    for number in range(rounds):
        for tree in trees if number % 2 else reversed(trees):
            runs[tree].append(measure(tree, emails))
            sys.stderr.write(f"{tree.name}: {runs[tree][-1]}\n")
    found = {}
    for name in ("emails_per_s", "worker_us_per_mail"):
        for tree, label in zip(trees, ("before", "with"), strict=True):
            found[f"{name}_{label}"] = round(statistics.median(getattr(run, name) for run in runs[tree]), 2)
    found["throughput_lost"] = round(1 - found["emails_per_s_with"] / found["emails_per_s_before"], 4)
    found["worker_cpu_added"] = round(
        found["worker_us_per_mail_with"] / found["worker_us_per_mail_before"] - 1, 4
    )
    return found


def work_and_leave(directory: Path, generation: int) -> None:
    """A worker's life as far as its metrics go, in a process of its own."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    begin_counting(generation)
    worker = WorkerMetrics(directory)
    now = time.time()
    for lane in Lane:
        settlement = Settlement(took=[0.001, 0.1])
        entry = Entry(lane, b"1-0", b"")
        settlement.add_done(entry, "a", now - 1)
        settlement.delayed.append(Delayed(entry, "b", 1.0, f"Error{generation % 60}: words"))
        settlement.dead.append(Dead(entry, "c", "rejected", "Reject", "words"))
        worker.settled(settlement, 0)
    os._exit(0)


def scrape() -> dict[str, float]:
    """Scrape 16 workers again and again while a thousand others have come and gone."""
    with MetricsDirectory.make() as made:
        restart_s = []
        for generation in range(RESTARTS):
            began = time.perf_counter()
            work_and_leave(made.path, generation)
            restart_s.append(time.perf_counter() - began)
            if generation % 4 == 3:
                absorb(made.path, set)
        absorb(made.path, set)
        living = set(range(RESTARTS, RESTARTS + WORKERS))
        for generation in living:
            work_and_leave(made.path, generation)
        page = Exposition(made.path, lambda: living, [])
        times = []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            body, _ = page.render("")
            times.append(time.perf_counter() - began)
        files = [path for path in made.path.rglob("*") if path.is_file()]
        in_memory = sum(path.stat().st_blocks for path in files) // 2
        began = time.perf_counter()
        absorb(made.path, set)
        return {
            "scrape_ms_median": round(statistics.median(times) * 1000, 2),
            "scrape_ms_max": round(max(times) * 1000, 2),
            "files": len(files),
            "kib_in_memory": in_memory,
            "page_bytes": len(body),
            "absorb_16_ms": round((time.perf_counter() - began) * 1000, 2),
            "life_of_a_worker_ms": round(statistics.median(restart_s) * 1000, 2),
        }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path)
    parser.add_argument("--after", type=Path, default=apparatus.ROOT)
    parser.add_argument("--emails", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = scrape()
    if options.before is not None:
        trees = (options.before.absolute(), options.after.absolute())
        result |= compare(trees, options.emails, options.rounds)
    rows = [[name.replace("_", " "), f"{value:,}"] for name, value in result.items()]
    apparatus.show("The cost of metrics", ("what", "value"), rows, result, options.json)
    if result["scrape_ms_median"] > SCRAPE_MAX_MS or result.get("throughput_lost", 0.0) > COST_MAX:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
