"""Files that others read, read as they do: units, and fenced blocks of documents."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy/systemd/fastmail-ingest.service"
CONTAINERFILE = ROOT / "Containerfile"
_SPAN = re.compile(r"(\d+)(s|min|h)?")
_UNITS_S = {None: 1, "s": 1, "min": 60, "h": 3600}


def directives(path: Path) -> dict[str, list[str]]:
    """The values of each directive of a unit, in their order; systemd.syntax(7)."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def seconds(span: str) -> float:
    """A time span of one unit; systemd.time(7)."""
    match = _SPAN.fullmatch(span)
    assert match, span
    return float(match[1]) * _UNITS_S[match[2]]


def fenced(document: Path, language: str) -> list[str]:
    """The blocks of a Markdown document in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """The command lines of its sh blocks, continued ones in one, without comments."""
    text = "".join(fenced(document, "sh")).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line.strip()]
