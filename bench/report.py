"""From pytest-benchmark's JSON to bench/report.md, the report that is committed.

usage: python bench/report.py RESULTS.json WHOLE_WAY.md > bench/report.md
"""

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

# what, ours, the other one
RATIOS = (
    ("FETCH: IMAPClient / our reader", "fetch_ours", "fetch_imapclient"),
    ("MIME: stdlib compat32 / our parser", "mime_ours", "mime_stdlib"),
)


def machine() -> str:
    """Processor, cores, kernel, Python: what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo.splitlines() if "model name" in line), "?"
    )
    cores = cpuinfo.count("processor\t")
    return f"{model}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> None:
    """Write the report to standard output."""
    results = json.loads(Path(sys.argv[1]).read_text())["benchmarks"]
    lines = [
        "# Bench report",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {machine()}. All processes, mail server and Redis included,",
        "share these cores; the machine is virtual and not alone: ratios within one run mean more than numbers.",
        "",
        Path(sys.argv[2]).read_text().strip(),
        "",
        "## Stages, one process each (pytest-benchmark, medians)",
        "",
        "| stage | mails a round | us a mail | mails/s | rounds |",
        "|---|---|---|---|---|",
    ]
    costs: dict[str, float] = {}
    for result in results:
        mails = result["extra_info"]["mails"]
        per_mail = result["stats"]["median"] / mails
        name = result["name"].removeprefix("test_")
        costs[name] = per_mail
        lines.append(
            f"| {name} | {mails} | {per_mail * 1e6:.2f} | {1 / per_mail:,.0f} | {result['stats']['rounds']} |"
        )
    lines += [
        "",
        "## Ratios, same mails and same server in the same run",
        "",
        "| what | ratio |",
        "|---|---|",
    ]
    for what, ours, other in RATIOS:
        if ours in costs and other in costs:
            lines.append(f"| {what} | {costs[other] / costs[ours]:.1f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
