"""Writes the table of docs/METRICS.md from the catalogue of metrics; with --check it only compares them."""

import sys
from pathlib import Path

from fastmail_ingest.telemetry.catalogue import CATALOGUE, Definition

DOCUMENT = Path(__file__).parent.parent / "docs" / "METRICS.md"
BEGIN, END = "<!-- made by scripts/metrics_table.py -->\n", "<!-- end -->\n"


def table() -> str:
    """All metrics in the order of the catalogue."""
    lines = ["| name | kind | labels | what it says |", "|---|---|---|---|"]
    lines += [row(definition) for definition in CATALOGUE]
    return "\n".join(lines) + "\n"


def row(definition: Definition) -> str:
    """One metric."""
    labels = ", ".join(f"`{label}`" for label in definition.labels)
    bounds = f" Buckets, s: {', '.join(f'{bound:g}' for bound in definition.bounds)}."
    return (
        f"| `{definition.shown_name}` | {definition.kind} | {labels} | "
        f"{definition.help}{bounds if definition.bounds else ''} |"
    )


def main() -> int:
    """Returns the exit code."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}{table()}{END}{after}"
    if "--check" in sys.argv:
        if made != text:
            sys.stderr.write(f"{DOCUMENT} is not as the catalogue. remedy: python scripts/metrics_table.py\n")
        return int(made != text)
    DOCUMENT.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
