"""What does it cost to be seen: metrics, trace context and spans on the hot path, and a scrape after many restarts?

    python bench/metrics_cost.py [--emails 150000] [--size 1500] [--rounds 9] [--json]
    python bench/metrics_cost.py --rounds 0                     (without the runs of `bench`)

`bench --source stream` runs out of three trees in turns, each as often first as last:

    bare      a copy in which nothing is counted and log lines know no mail
    shipped   as it is: metrics and trace context
    spans     with [tracing] enabled, 1 % of the mails sampled, sent to a receiver on this machine

Each round gives ratios to its own bare run, so that what else the machine does weighs on both; median and quartiles are
shown. Where it does much, they shake more than what is to be measured: so the worker's loop alone is run bare and
shipped, in turns of a millisecond, and what a mail costs more is set against the CPU that workers spend on a mail in the
bare runs. The scrape is that of 16 living workers after 1,000 restarts, from real forked processes.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apparatus
import msgspec
from support.stream_world import envelope

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.handler.builtin import noop
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import Dead, Delayed, Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline import batch
from fastmail_ingest.pipeline.custody import Taken
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.retry import ErrorRules, RetryRule
from fastmail_ingest.telemetry.dead_files import absorb
from fastmail_ingest.telemetry.exposition import Exposition
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory, begin_counting
from fastmail_ingest.telemetry.worker_metrics import WorkerMetrics

WORKERS, RESTARTS, SCRAPES = 16, 1000, 50
BATCH, TURNS = 512, 2000
COST_MAX, SCRAPE_MAX_MS = 0.05, 50.0

# file, what stands there, what stands there in the copy. Each is there once: who changes it finds out here.
BARE = (
    (
        "pipeline/batch.py",
        "        inline.about = opened.email\n        outcome = None\n",
        "        outcome = None\n",
    ),
    ("pipeline/batch.py", "    inline.about = NOTHING\n    desk.release(0)\n", "    desk.release(0)\n"),
    ("pipeline/batch.py", "            taken.settlement.took.append(ended - began)\n", ""),
    (
        "pipeline/batch.py",
        "return shown(taken.take_settlement(), opened)",
        "return taken.take_settlement()",
    ),
    (
        "app/worker_role.py",
        "if (metrics := begin_counting(slot.generation)) is not None:",
        "if metrics := None:",
    ),
)
SPANS = (
    (
        "app/bench/plan.py",
        "        admin=AdminConfig(port=0),\n",
        "        admin=AdminConfig(port=0), tracing=TracingConfig(enabled=True),\n",
    ),
    ("app/bench/plan.py", "    WorkerConfig,\n)", "    TracingConfig,\n    WorkerConfig,\n)"),
)
SAMPLING = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def copy(name: str, directory: Path, edits: Sequence[tuple[str, str, str]]) -> Path:
    """The package with some places changed."""
    made = directory / name
    shutil.copytree(apparatus.ROOT / "fastmail_ingest", made / "fastmail_ingest")
    for file, old, new in edits:
        path = made / "fastmail_ingest" / file
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{file} has changed: {old!r} is there {text.count(old)} times")
        path.write_text(text.replace(old, new))
    return made


# --- whole runs ----------------------------------------------------------------------------------------


class Speed(msgspec.Struct, frozen=True):
    """One run of `bench`."""

    emails_per_s: float
    worker_us_per_mail: float


class Tree(msgspec.Struct, frozen=True):
    """Where a variant is, and with which environment it runs."""

    name: str
    path: Path
    environment: dict[str, str] = {}


def measure(tree: Tree, emails: int, size: int) -> Speed:
    """Run `bench` out of a tree."""
    words = ["--source", "stream", "--emails", str(emails), "--size", str(size), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fastmail_ingest", "bench", *words],
        cwd=tree.path,
        env={**os.environ, "PYTHONPATH": str(tree.path), **tree.environment},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{tree.name}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    told = json.loads(done.stdout)
    return Speed(told["emails_per_s"], told["cpu_s_per_1000"]["worker"] * 1000)


def compare(emails: int, size: int, rounds: int) -> dict[str, float]:
    """Run all in turns; how each of the others stands to bare."""
    from support.collector import Collector  # noqa: PLC0415 - needs the extra `otel`

    with tempfile.TemporaryDirectory(prefix="fmi-cost-") as directory, Collector() as collector:
        sends = {**SAMPLING, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        trees = [
            Tree("bare", copy("bare", Path(directory), BARE)),
            Tree("shipped", copy("shipped", Path(directory), ())),
            Tree("spans", copy("spans", Path(directory), SPANS), sends),
        ]
        runs: dict[str, list[Speed]] = {tree.name: [] for tree in trees}
        for number in range(rounds):
            first = number % len(trees)
            for tree in trees[first:] + trees[:first]:
                runs[tree.name].append(measure(tree, emails, size))
                sys.stderr.write(f"{number} {tree.name}: {runs[tree.name][-1]}\n")
        found: dict[str, float] = {"spans_received": len(collector.named("handle"))}
    for tree in trees:
        for unit in ("emails_per_s", "worker_us_per_mail"):
            found[f"{tree.name}_{unit}"] = round(
                statistics.median(getattr(run, unit) for run in runs[tree.name]), 2
            )
    for name in ("shipped", "spans"):
        pairs = list(zip(runs["bare"], runs[name], strict=True))
        lost = [1 - run.emails_per_s / bare.emails_per_s for bare, run in pairs]
        added = [run.worker_us_per_mail / bare.worker_us_per_mail - 1 for bare, run in pairs]
        found |= _spread(f"{name}_throughput_lost", lost) | _spread(f"{name}_worker_cpu_added", added)
    return found


def _spread(name: str, ratios: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {name: round(middle, 4), f"{name}_q1": round(low, 4), f"{name}_q3": round(high, 4)}


# --- the worker's loop alone ---------------------------------------------------------------------------


class Desk:
    def hold(self, cell: int, entry: Entry) -> None: ...
    def release(self, cell: int) -> None: ...


def hot_path() -> dict[str, float]:
    """What handling a mail takes bare and shipped, batches of 512 in turns; the medians, in ns a mail."""
    rules = ErrorRules(RetryRule(5, Backoff(1.0, 2.0, 60.0, 0.0)))
    judge, entries = Judge(rules, Guard(CircuitBreaker("handler"), ["OSError"])), _entries()
    with tempfile.TemporaryDirectory(prefix="fmi-cost-") as directory, MetricsDirectory.make() as made:
        begin_counting(0)
        metrics = WorkerMetrics(made.path)
        path = copy("bare", Path(directory), BARE) / "fastmail_ingest/pipeline/batch.py"
        bare = _loaded(path)

        def turn(handle: Callable[..., Settlement], settled: Callable[..., None]) -> float:
            began = time.perf_counter_ns()
            settled(handle(noop, Taken(list(entries), 0.0), Desk(), judge, float("inf")), 0)
            return (time.perf_counter_ns() - began) / BATCH

        pairs = [
            (turn(bare.handle_inline, lambda *_: None), turn(batch.handle_inline, metrics.settled))
            for _ in range(TURNS)
        ]
    added = statistics.median(shipped - without for without, shipped in pairs)
    return {
        "loop_ns_bare": round(statistics.median(pair[0] for pair in pairs)),
        "loop_ns_added": round(added),
    }


def _entries() -> list[Entry]:
    key = MailboxKey("a", "INBOX")
    mails = [
        envelope(f"a:INBOX:7:{uid}", key, 7, uid, b"Subject: x\r\n\r\n" + bytes(1400)) for uid in range(BATCH)
    ]
    return [Entry(Lane.LIVE, b"1-%d" % mail.uid, codec.encode(mail)) for mail in mails]


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("bare_batch", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- a scrape ------------------------------------------------------------------------------------------


def work_and_leave(directory: Path, generation: int) -> None:
    """A worker's life as far as its metrics go, in a process of its own."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        if status:
            raise SystemExit(f"a worker ended with {os.waitstatus_to_exitcode(status)}")
        return
    code = 1
    try:
        _count(directory, generation)
        code = 0
    finally:
        os._exit(code)  # whatever happened: the bench is the parent's


def _count(directory: Path, generation: int) -> None:
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
    """Measure, and print a table or JSON; exit code 1 if a limit is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--emails", type=int, default=150_000)
    parser.add_argument("--size", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=9, help="of `bench`; at least 2, or 0")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = scrape() | hot_path()
    cost = 0.0
    if options.rounds:
        result |= compare(options.emails, options.size, options.rounds)
        cost = result["loop_ns_added"] / 1000 / result["bare_worker_us_per_mail"]
        result["loop_added_of_worker_cpu"] = round(cost, 4)
    rows = [[name.replace("_", " "), f"{value:,}"] for name, value in result.items()]
    apparatus.show("What being seen costs", ("what", "value"), rows, result, options.json)
    if result["scrape_ms_median"] > SCRAPE_MAX_MS or cost > COST_MAX:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
