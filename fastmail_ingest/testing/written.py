"""The report of a long run as a page: the machine, the schedule, the numbers."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

from fastmail_ingest.stream.server import OwnServer, find_binary
from fastmail_ingest.testing.plan import Chaos
from fastmail_ingest.testing.report import Recovery, Report

_GIB = 1 << 30


def written(chaos: Chaos, report: Report, target: str) -> str:
    """The whole page, in Markdown."""
    return "\n".join(_page(chaos, report, target)) + "\n"


def _page(chaos: Chaos, report: Report, target: str) -> Iterator[str]:
    yield "# Chaos: a long run\n"
    yield (
        f"Written by `scripts/chaos --emails {chaos.emails} --kills {chaos.kills} --seed {chaos.seed}`. "
        "A simulated mail server delivers while a seeded schedule kills and disturbs everything around the "
        "handler; every call is written down by the handler's wrapper and judged afterwards. Redis has each "
        "change on disk before it answers (`appendfsync always`).\n"
    )
    yield f"**{'Every promise kept.' if report.ok else 'A promise was broken.'}**\n"
    yield from _table(("machine", ""), _machine())
    yield from _table(("what", "measured"), _numbers(report))
    yield from _table(("kill -9", "times"), sorted(_strings(report.kills)))
    yield from _table(("disturbance", "times"), sorted(_strings(report.disturbances)))
    yield from _table(("fault of the mail server", "times"), sorted(_strings(report.mail_faults)))
    yield from _table(
        ("setting", "value"),
        [
            ("seed", str(chaos.seed)),
            ("handler", target),
            ("bytes of a mail", f"{chaos.size:,}"),
            ("mailboxes", str(chaos.mailboxes)),
            ("workers", str(chaos.procs)),
            ("mails on which the handler fails", _counts(chaos)),
        ],
    )


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |\n|---|---|"
    for name, value in rows:
        yield f"| {name} | {value} |"
    yield ""


def _machine() -> Iterator[tuple[str, str]]:
    yield "processor", f"{_processor()}, {len(os.sched_getaffinity(0))} CPUs"
    yield "memory", f"{psutil.virtual_memory().total / _GIB:.1f} GiB"
    yield "system", f"{platform.system()} {platform.release()}"
    yield "Python", platform.python_version()
    yield "Redis", OwnServer(find_binary(), Path("unused")).version()
    yield "fastmail-ingest", version("fastmail-ingest")


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _numbers(report: Report) -> Iterator[tuple[str, str]]:
    yield "mails delivered", f"{report.emails:,}"
    yield "handled", f"{report.handled:,}"
    yield "dead letters", ", ".join(f"{count:,} {name}" for name, count in report.dead.items()) or "0"
    yield "kill -9 by the schedule", f"{sum(report.kills.values()):,}"
    yield "workers that a mail killed / that hung", f"{report.died:,} / {report.hung:,}"
    yield "**lost**", f"**{len(report.lost):,}**"
    yield "**handled twice as if new**", f"**{len(report.doubled) + len(report.unmarked):,}**"
    yield "**repeated although no process had died**", f"**{len(report.unforced):,}**"
    yield "repeated with `attempt > 1`: begun at a death", f"{report.repeats.in_hand:,}"
    yield "repeated with `attempt > 1`: finished, not settled at a death", f"{report.repeats.unsettled:,}"
    yield "tried again after a failure", f"{report.repeats.after_failure:,}"
    yield "effects under the unique key / doubled", f"{report.effects:,} / {report.effects_doubled:,}"
    yield "invariants breached", f"{len(report.breaches):,}"
    yield "worker's death to its mail begun by another", _times(report.recovery)
    yield "the same while Redis or the supervisor was away, too", _times(report.recovery_disturbed)
    yield "time", f"{report.seconds:,.0f} s"
    yield "mails a second, deaths and all", f"{report.emails_per_s:,.0f}"


def _times(recovery: Recovery) -> str:
    return (
        f"p50 {recovery.p50_ms:.0f} ms, p99 {recovery.p99_ms:.0f} ms, max {recovery.max_ms:.0f} ms "
        f"({recovery.mails:,} mails)"
    )


def _strings(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, str(count)) for name, count in counts.items()]


def _counts(chaos: Chaos) -> str:
    return ", ".join(f"{count:,} {mishap}" for mishap, count in chaos.mishaps.items())
