"""What `new-handler` writes stands on its own: its test passes, and ruff and mypy have nothing to say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastmail_ingest.config import load
from fastmail_ingest.config.example import render


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=directory, capture_output=True, text=True, check=False
    )


def new_handler(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(directory, "fastmail_ingest", "new-handler", *words)


@pytest.mark.parametrize("kind", ["sync", "async", "batch"])
def test_what_is_written_passes_every_check(tmp_path: Path, kind: str) -> None:
    made = new_handler(tmp_path, "shop_mails", "--kind", kind)
    assert made.returncode == 0, made.stderr
    names = {"shop_mails.py", "test_shop_mails.py", "shop_mails.eml", "supervisor.toml"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", "test_shop_mails.py"],
        ["ruff", "check", "--isolated", "--no-cache", "."],
        ["ruff", "format", "--isolated", "--no-cache", "--check", "."],
        ["mypy", "--strict", "--cache-dir", "/dev/null", "shop_mails.py", "test_shop_mails.py"],
        ["fastmail_ingest", "replay-eml", "shop_mails.eml"],
    ):
        result = run(tmp_path, *command)
        assert result.returncode == 0, result.stdout + result.stderr
    assert (
        load(tmp_path / "supervisor.toml", {}, require_accounts=False).handler.target == "shop_mails:handle"
    )


def test_the_configuration_names_a_command_that_prints_every_setting(tmp_path: Path) -> None:
    new_handler(tmp_path, "shop_mails")
    (words,) = re.findall(r"printed by: fastmail-ingest (.+)", (tmp_path / "supervisor.toml").read_text())
    printed = run(tmp_path, "fastmail_ingest", *words.split())
    assert printed.returncode == 0
    assert printed.stdout == render()
    missing = run(tmp_path, "fastmail_ingest", "supervise", "--config", "nowhere.toml")
    assert f"remedy: check the path, or: fastmail-ingest {words}" in missing.stderr


@pytest.mark.parametrize("kind", ["sync", "async", "batch"])
def test_what_is_written_reads_html_where_there_is_no_text(tmp_path: Path, kind: str) -> None:
    new_handler(tmp_path, "shop_mails", "--kind", kind)
    (tmp_path / "html.eml").write_text("From: a@b.c\nContent-Type: text/html\n\n<p>hello <b>Ann</b></p>\n")
    result = run(tmp_path, "fastmail_ingest", "replay-eml", "html.eml")
    assert "(9 characters)" in result.stdout


def test_the_test_that_is_written_can_fail(tmp_path: Path) -> None:
    new_handler(tmp_path, "shop_mails")
    handler = tmp_path / "shop_mails.py"
    handler.write_text(handler.read_text().replace('raise Reject("nobody', 'raise ValueError("nobody'))
    result = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider")
    assert result.returncode == 1
    assert "failed: ValueError: nobody sent it; again in" in result.stdout


def test_the_commands_it_names_run_as_they_are_printed(tmp_path: Path) -> None:
    made = new_handler(tmp_path, "--directory", "my mails")
    commands = made.stdout.partition("next:\n")[2].splitlines()
    assert len(commands) == 2
    for command in commands:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        result = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env={"PATH": path}, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_without_pytest_it_says_how_to_get_it(tmp_path: Path) -> None:
    program = (
        "import sys, importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'pytest' else found(name, *more)\n"
        "from fastmail_ingest.cli.main import main\n"
        "sys.argv = ['fastmail-ingest', 'new-handler', 'shop_mails']\n"
        "main()"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    commands = made.stdout.partition("next:\n")[2].splitlines()
    assert commands[:2] == ["  python -m pip install pytest", "  python -m pytest test_shop_mails.py"], (
        made.stderr
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shop_mails.eml").write_text("mine")
    (tmp_path / "supervisor.toml").write_text("# mine\n")
    made = new_handler(tmp_path, "shop_mails")
    assert made.returncode == 2
    assert "remedy: another NAME" in made.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"shop_mails.eml", "supervisor.toml"}
    other = new_handler(tmp_path, "other_mails")
    assert other.returncode == 0
    assert 'target = "other_mails:handle"' in other.stdout
    assert (tmp_path / "supervisor.toml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    "name", ["class", "a-b", "../up", "email", "msgspec", "fastmail_ingest", "ümlaut", "a:handle", "1st"]
)
def test_a_name_that_cannot_be_a_module_of_ones_own_is_refused(tmp_path: Path, name: str) -> None:
    made = new_handler(tmp_path, name)
    assert made.returncode == 2
    assert "remedy" in made.stderr
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "up.py").exists()
