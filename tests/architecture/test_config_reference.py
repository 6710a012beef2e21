"""docs/CONFIGURATION.md names the settings that there are."""

import subprocess
import sys
from pathlib import Path

from fastmail_ingest.config.layout import header, keys, sections

ROOT = Path(__file__).parent.parent.parent


def test_it_is_as_the_structs() -> None:
    command = [sys.executable, "scripts/config_reference.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_key_has_its_row() -> None:
    text = (ROOT / "docs/CONFIGURATION.md").read_text()
    for section in sections():
        part = text.partition(f"\n## {header(section)}\n")[2].partition("\n## ")[0]
        assert [key for key in keys(section) if f"\n| `{key}` | " not in part] == []
