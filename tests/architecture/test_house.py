"""What the README and the layers promise, checked by machine."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_point_down() -> None:
    result = run(str(Path(sys.executable).parent / "lint-imports"))
    assert result.returncode == 0, result.stdout


def test_house_rules() -> None:
    result = run(sys.executable, "scripts/house_rules.py")
    assert result.returncode == 0, result.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nsys.argv = ['fastmail-ingest', '--help']\n"
        "import atexit\natexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
        "from fastmail_ingest.cli.main import main\nmain()\n"
    )
    result = run(sys.executable, "-c", program)
    assert "supervise" in result.stdout
    heavy = {"redis", "imapclient", "rich", "uvloop", "asyncio", "psutil", "requests", "google.auth", "msal"}
    assert not heavy & set(result.stderr.split())


def test_every_command_in_the_readme_is_known() -> None:
    text = (ROOT / "README.md").read_text()
    verbs = {words.split()[0] for words in re.findall(r"^fastmail-ingest (.+)$", text, re.MULTILINE)}
    assert verbs >= {"supervise", "bench"}
    for verb in verbs:
        assert run(sys.executable, "-m", "fastmail_ingest", verb, "--help").returncode == 0


def test_every_option_in_the_readme_is_known() -> None:
    text = (ROOT / "README.md").read_text()
    for verb, second, words in re.findall(
        r"^fastmail-ingest (\w+)((?: [a-z]+\b)?)([^#\n]*)", text, re.MULTILINE
    ):
        known = run(sys.executable, "-m", "fastmail_ingest", verb, *second.split(), "--help").stdout
        for option in re.findall(r"--[a-z-]+", words):
            assert option in known, (verb, option)
