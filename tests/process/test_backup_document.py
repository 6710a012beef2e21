"""docs/BACKUP.md: its commands run as they stand, its messages are ours, its options and files are real."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backups import Commands
from support.simulated import Simulated
from support.supervised import Supervised

from fastmail_ingest.config import Config

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs/BACKUP.md").read_text()


@pytest.fixture
def at_work(tmp_path: Path, simulated: Simulated) -> Iterator[Supervised]:
    """A configuration in the working directory, and `start`ed."""
    run = Supervised(tmp_path, simulated.port, admin="port = 0")
    commands = Commands(tmp_path)
    assert commands("start") == 0, commands.err
    simulated.add(50)
    run.wait_for_calls(50)
    yield run
    commands("stop")


def shell(text: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-exc", text.replace("/mnt/backups", str(directory / "mnt"))],
        cwd=directory, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_command_runs_as_it_stands(at_work, tmp_path, simulated) -> None:
    making, restoring = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    done = shell(making, tmp_path)
    assert done.returncode == 0, done.stderr
    simulated.add(20)
    at_work.wait_for_calls(70)
    done = shell(restoring, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "It is put back into" in done.stdout
    assert done.stdout.strip().endswith("no gap, no double in 70 mails of 1 mailbox")
    at_work.wait_for_calls(70)
    known = {identity for identity, _ in at_work.calls()[:50]}
    assert not known & {identity for identity, _ in at_work.calls()[70:]}


def test_every_message_is_one_of_ours() -> None:
    said = " ".join(path.read_text() for path in (ROOT / "fastmail_ingest").rglob("*.py"))
    said = re.sub(r'"\s*f?"', "", said)  # a message goes over several lines
    said = said.replace("{' '.join(command)}", "BGSAVE")
    table = TEXT.partition("## When it does not work")[2]
    said_column = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    messages = [message for cell in said_column for message in re.findall(r"`([^`]+)`", cell)]
    assert len(messages) > 10
    for message in messages:
        for part in message.split(" …"):
            assert part in said, message


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert f"the newest {Config().backup.keep} are kept" in TEXT
    assert f"the lease runs out in {Config().supervisor.lease:.0f} s" in TEXT


def test_every_link_and_file_is_there() -> None:
    assert "docs/BACKUP.md" in (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)\s#]+)\)", TEXT):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
