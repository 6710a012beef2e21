"""docs/runbooks/: each command is run where it can be, beside a supervisor with something to look after."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest import errors
from fastmail_ingest.policy import readiness

RUNBOOKS = sorted((Path(__file__).parents[2] / "docs/runbooks").glob("*.md"))
BLOCK = re.compile(r"^(?:<!-- (?P<marker>[^>]*) -->\n)?```sh\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE)
# What belongs to the host and is in no test: programs of systemd.
HOST, HOST_PROGRAMS = "host: systemd", {"systemctl", "journalctl"}
# Answers, not failures: something is not ready, a mail is missing, the handler fails again.
NOBODY = 2  # the exit code of `health` if nobody answers
MAY_SAY_NO = ("fastmail-ingest health", "fastmail-ingest audit", "fastmail-ingest replay-eml")
TROUBLED = """

    from fastmail_ingest import Reject, Retry

    def handle(email):
        note(email)
        number = int(email.id.rpartition(":")[2])
        if number % 4 == 1:
            raise ValueError("total")
        if number % 4 == 2:
            raise Retry(after=3600)
        if number % 4 == 3:
            raise Reject("spam")
"""


def blocks(runbook: Path) -> list[tuple[str, list[str]]]:
    """The marker of each block, and its commands."""
    return [
        (found["marker"] or "", found["body"].strip().splitlines())
        for found in BLOCK.finditer(runbook.read_text())
    ]


def test_there_are_five() -> None:
    assert [path.stem for path in RUNBOOKS] == [
        "dead-letters", "incident-response", "redis-operations", "scaling", "troubleshooting",
    ]  # fmt: skip
    for path in RUNBOOKS:
        assert path.read_text().count("```sh\n") == len(blocks(path)) > 0, path


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_its_commands_run(house, simulated, redis_server: RedisServer, runbook: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    run = house(TROUBLED, admin=f"port = {port}", retry="attempts = 1").start()
    simulated.add(20)
    run.wait_for_calls(20)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REDIS": f"-s {redis_server.directory}/redis.sock",
        "PID": str(run.pid),
    }
    ask = ["fastmail-ingest", "health"]
    wait_until(
        lambda: (
            subprocess.run(ask, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode
            < NOBODY
        ),
        "it answers over HTTP",
    )
    said = subprocess.check_output(
        ["fastmail-ingest", "dead", "list", "--json"], cwd=tmp_path, env=environment
    )
    environment["ID"] = next(
        each["id"] for each in json.loads(said)["letters"] if each["error"] == "ValueError"
    )
    for marker, commands in blocks(runbook):
        assert marker in ("", HOST)
        for command in commands:
            if marker == HOST:
                assert command.split()[0] in HOST_PROGRAMS, command
                continue
            assert shutil.which(command.split()[0], path=environment["PATH"]) or command.startswith(
                "kill "
            ), command
            done = subprocess.run(
                ["bash", "-uc", command], cwd=tmp_path, env=environment, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            allowed = (0, 1) if command.startswith(MAY_SAY_NO) else (0,)
            assert done.returncode in allowed, (command, done.returncode, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr or "replay-eml" in command
    assert run.stop() == 0


def test_each_reason_and_each_exit_code_has_its_row() -> None:
    text = next(path for path in RUNBOOKS if path.stem == "troubleshooting").read_text()
    ours = re.findall(r"^ *([a-z_]+) {2,}", readiness.__doc__ or "", re.MULTILINE)[1:]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == set(ours)
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d) \|", text, re.MULTILINE)} == codes
