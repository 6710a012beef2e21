"""docs/METRICS.md names the metrics that there are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_table_is_as_the_catalogue() -> None:
    command = [sys.executable, "scripts/metrics_table.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
