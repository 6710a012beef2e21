"""From what the processes left behind to numbers, a table, and JSON."""

import statistics
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from fastmail_ingest.app.bench.plan import BenchPlan
from fastmail_ingest.app.bench.probe import read_records
from fastmail_ingest.supervisor.report import Report
from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.slots import Slot, SlotTable
from fastmail_ingest.telemetry.counters import Counter

_NS = 1e9


class BenchResult(msgspec.Struct):
    """The contract of `bench --json`."""

    emails: int
    procs: int
    seconds: float
    emails_per_s: float
    latency_ms: dict[str, float]
    lost: int
    duplicated: int
    cpu_s_per_1000: dict[str, float]
    rss_mib: dict[str, float]  # the largest of each role, private memory only
    redis: str
    size_mean_bytes: int
    source: str
    rate: float | None


class Ran(msgspec.Struct, frozen=True):
    """What is left when all processes of a measurement have ended."""

    plan: BenchPlan
    roles: list[Role]
    table: SlotTable
    report: Report
    records: Path
    redis: str
    size_mean_bytes: int


def collect(ran: Ran) -> BenchResult:
    """Put the numbers together after all processes have ended."""
    plan, roles, table = ran.plan, ran.roles, ran.table
    uids, latencies = read_records(ran.records)
    seconds = _clock(roles, table)
    return BenchResult(
        emails=plan.emails,
        procs=next(role.count for role in roles if role.name == "worker"),
        seconds=round(seconds, 4),
        emails_per_s=round(len(uids) / seconds, 1) if seconds else 0.0,
        latency_ms=_percentiles(latencies),
        lost=plan.emails - len(set(uids)),
        duplicated=len(uids) - len(set(uids)),
        cpu_s_per_1000={
            name: round(1000 * cpu / plan.emails, 4) for name, cpu in sorted(ran.report.cpu_s.items())
        },
        rss_mib=_memory(roles, table),
        redis=ran.redis,
        size_mean_bytes=ran.size_mean_bytes,
        source=plan.source,
        rate=plan.rate,
    )


def _of(roles: list[Role], table: SlotTable, name: str) -> list[Slot]:
    return [slot for slot in table if slot.generation and roles[slot.role].name == name]


def _clock(roles: list[Role], table: SlotTable) -> float:
    """Seconds from the first fetch command (or the first entry taken) to the last settle."""
    workers = _of(roles, table, "worker")
    first_ones = _of(roles, table, "producer") or workers
    begins = [begin for slot in first_ones if (begin := slot.get(Counter.FIRST_WORK_NS))]
    end = max((slot.get(Counter.LAST_SETTLE_NS) for slot in workers), default=0)
    return (end - min(begins)) / _NS if begins and end else 0.0


def _percentiles(latencies: list[float]) -> dict[str, float]:
    if len(latencies) < 2:
        return {}
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    named = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(latencies)}
    return {name: round(value * 1000, 2) for name, value in named.items()}


def _memory(roles: list[Role], table: SlotTable) -> dict[str, float]:
    found: dict[str, float] = {}
    for slot in table:
        mib = slot.get(Counter.PRIVATE_KIB) / 1024
        if mib:
            name = roles[slot.role].name
            found[name] = max(found.get(name, 0.0), round(mib, 1))
    return dict(sorted(found.items()))


def print_table(result: BenchResult) -> None:
    """The result for people."""
    table = Table(
        title=f"{result.emails} mails, {result.size_mean_bytes / 1024:.1f} KB mean, {result.source}"
    )
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_row("throughput", f"{result.emails_per_s:,.0f} mails/s")
    table.add_row("time", f"{result.seconds:.2f} s")
    since = "scheduled arrival" if result.rate else "fetch"
    for name, value in result.latency_ms.items():
        table.add_row(f"latency {name}, {since} to settled", f"{value:,.1f} ms")
    table.add_row("lost / duplicated", f"{result.lost} / {result.duplicated}")
    for role, cpu in result.cpu_s_per_1000.items():
        size = f"{result.rss_mib[role]:.0f} MiB" if role in result.rss_mib else "-"
        table.add_row(f"{role}: CPU a mail, memory", f"{cpu * 1000:,.0f} us, {size}")
    table.add_row("workers", str(result.procs))
    table.add_row("Redis", result.redis)
    Console().print(table)
