"""What the benches have in common: servers in processes of their own, CPU by process, and how results are shown."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))


def need(binary: str, package: str) -> str:
    """The path of a program; says what to install if it is not there."""
    found = shutil.which(binary, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{binary} is not installed: apt install {package}")
    return found


class Aside:
    """A server in a forked process, so that its CPU and its interpreter are not the measured side's.

    `serve(tell)` runs there for ever; it calls `tell(port)` as soon as it listens.
    """

    def __init__(self, serve: Callable[[Callable[[int], None]], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(reading)
                serve(lambda port: os.write(writing, b"%d\n" % port) and None)
            finally:
                os._exit(1)  # whatever happened: the bench is the parent's
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            self.port = int(told.readline())

    def __enter__(self) -> "Aside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def cpu_s(pid: int) -> float:
    """User and system time that a process and all its descendants, ended ones included, have used."""
    process = psutil.Process(pid)
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += sum(each.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


class Ran(msgspec.Struct, frozen=True):
    """A command that has ended."""

    seconds: float
    cpu_s: float  # with all its descendants


def run(command: Sequence[str], directory: Path, log: Path) -> Ran:
    """Run a command to its end; anything but exit code 0 ends the bench."""
    begin = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=directory, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{end}")
    return Ran(time.monotonic() - begin, usage.ru_utime + usage.ru_stime)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the maximum."""
    ordered = sorted(values)
    at = statistics.quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else ordered * 99
    return {"p50": at[49], "p99": at[98], "max": ordered[-1]}


def show(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], result: Any, as_json: bool
) -> None:
    """Print the result as JSON, or as a Markdown table."""
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(result)) + "\n")
        return
    lines = [f"**{title}**", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    sys.stdout.write("\n".join(lines) + "\n")
