"""`fastmail-ingest bench`, several runs of each kind: the numbers of the whole way. Prints Markdown."""

import json
import statistics
import subprocess
import sys
from typing import Any

RUNS = 5


def runs(*words: str, count: int = RUNS) -> list[dict[str, Any]]:
    """So many results of `bench` with these words; a lost or doubled mail ends everything."""
    results = []
    for _ in range(count):
        command = [sys.executable, "-m", "fastmail_ingest", "bench", "--json", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        results.append(json.loads(done.stdout))
    return results


def median(results: list[dict[str, Any]], *path: str) -> float:
    """The median of a value."""
    values = []
    for result in results:
        value: Any = result
        for key in path:
            value = value[key]
        values.append(float(value))
    return statistics.median(values)


def main() -> None:
    """Measure and print."""
    imap = runs("--emails", "10000")
    stream = runs("--emails", "200000", "--source", "stream", "--size", "1500")
    latency = runs("--emails", "2000", "--rate", "100", count=3)
    long = runs("--emails", "100000", count=1)
    worst = min(result["emails_per_s"] for result in imap)
    rows = [
        (
            "IMAP to settled, 10,000 mails, 18 KB mean, parsed",
            f"{median(imap, 'emails_per_s'):,.0f} mails/s (worst {worst:,.0f})",
        ),
        ("... of 100,000 mails", f"{median(long, 'emails_per_s'):,.0f} mails/s"),
        ("stream to settled, 200,000 mails, 1.5 KB", f"{median(stream, 'emails_per_s'):,.0f} mails/s"),
        (
            "100 mails/s on a schedule, IDLE: scheduled arrival to settled",
            f"p50 {median(latency, 'latency_ms', 'p50'):.1f} ms, p95 {median(latency, 'latency_ms', 'p95'):.1f} ms, "
            f"p99 {median(latency, 'latency_ms', 'p99'):.1f} ms, max {max(r['latency_ms']['max'] for r in latency):.1f} ms",
        ),
        ("private memory of a worker after 10,000 mails", f"{median(imap, 'rss_mib', 'worker'):.0f} MiB"),
        ("private memory of a worker after 100,000 mails", f"{median(long, 'rss_mib', 'worker'):.0f} MiB"),
        ("lost, duplicated, in all runs", "0, 0"),
    ]
    sys.stdout.write(
        f"## The whole way ({imap[0]['redis']}, {imap[0]['procs']} workers; medians of {RUNS} runs)\n\n"
    )
    sys.stdout.write(
        "| what | value |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in rows)
    )
    roles = sorted(imap[0]["cpu_s_per_1000"])
    sys.stdout.write("\nCPU a mail on the IMAP way, us: ")
    cost = [f"{role} {1000 * median(imap, 'cpu_s_per_1000', role):.0f}" for role in roles]
    sys.stdout.write(", ".join(cost) + ".\n")


if __name__ == "__main__":
    main()
