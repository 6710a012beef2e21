"""Every command whose answer a script would read has --json, and then says one JSON document and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from support.operated import Operated
from support.waiting import wait_until

from fastmail_ingest.app.bench.plan import free_port
from fastmail_ingest.cli.main import cli
from fastmail_ingest.stream.dead_letters import DeadLetters

# Their answer is their exit code, or files, or it goes on until it is stopped, or talks with a human.
WITHOUT_JSON = {
    "auth revoke", "auth setup", "config example", "demo", "new-handler", "start", "stop",
}  # fmt: skip
MAIL = b"From: a@example.org\r\nSubject: hi\r\n\r\ntext\r\n"
# In this order; {x} is filled in below. Exit codes other than 0 are named.
COMMANDS: list[tuple[str, int]] = [
    ("supervise --dry-run", 0),
    ("status", 0),
    ("health", 2),
    ("health --url http://127.0.0.1:{port}", 2),
    ("dead list", 0),
    ("dead show {letter}", 0),
    ("dead replay {letter}", 0),
    ("dead remove {other} --yes", 0),
    ("dead clear --yes", 0),
    ("retries list", 0),
    ("retries now {waiting}", 0),
    ("retries now --all --yes", 0),
    ("ledger show", 0),
    ("ledger clear --all --yes", 0),
    ("audit --account sim", 0),
    ("import old.mbox --dry-run", 0),
    ("import old.mbox", 0),
    ("import --mailbox INBOX --dry-run", 0),
    ("import --mailbox INBOX --yes", 0),
    ("auth info sim", 0),
    ("cursor show", 0),
    ("cursor rewind sim INBOX --to 1 --yes", 0),
    ("cursor reset sim --yes", 0),
    ("replay-eml mail.eml", 0),
    ("replay-eml mail.eml --handler handler_under_test:missing", 2),
    ("backup", 0),
    ("backup --list", 0),
    ("restore {backup}", 0),
    ("restore {backup} --dry-run", 0),
    ("bench --emails 50 --procs 1 --source stream --size 700", 0),
]  # fmt: skip
# Refused before there is any answer: one line on stderr, nothing on stdout.
REFUSED = {"replay-eml mail.eml --handler handler_under_test:missing"}


def leaves(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Each command that does something, with its whole name."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


def has_json(command: click.Command) -> bool:
    return any("--json" in option.opts for option in command.params)


def test_which_commands_have_it() -> None:
    without = {name for name, command in leaves() if not has_json(command)}
    assert without == WITHOUT_JSON
    ran = {name for name, _ in leaves() for words, _ in COMMANDS if words.startswith(name)}
    # What needs a token endpoint is in test_auth_commands.py.
    assert ran == {name for name, _ in leaves()} - WITHOUT_JSON - {"auth refresh"}


@pytest.mark.parametrize("name", [name for name, _ in leaves()])
def test_every_help_has_examples_that_are_right(name: str) -> None:
    command = dict(leaves())[name]
    head, _, examples = (command.help or "").partition("Example")
    assert head.strip(), name
    shown = [line.strip() for line in examples.partition("\b")[0].splitlines()[1:] if line.strip()]
    assert shown, name
    assert any(line.startswith(f"fastmail-ingest {name}") for line in shown), shown
    known = {option for parameter in command.params for option in parameter.opts}
    for line in shown:
        ours = line[line.index(f"fastmail-ingest {name}") :]
        words = ours.partition("|")[0].partition(">")[0].split()
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in known, (line, word)


def run(directory: Path, words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastmail_ingest", *words.split(), "--json"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    """The one document; json.loads refuses anything behind it."""
    return json.loads(done.stdout)


def test_each_says_one_document(house, simulated, redis_server) -> None:
    simulated.add(5)
    port = free_port()
    made = house(admin=f"port = {port}", backup='directory = "backups"')
    assert made.run("--once") == 0
    stream = Operated(redis_server, empty=False)
    stream.bury(101, 102, 103)
    stream.delay(104, 105, after_s=5000)
    (made.directory / "mail.eml").write_bytes(MAIL)
    (made.directory / "old.mbox").write_bytes(b"From a Thu Jan  1 00:00:00 2026\n" + MAIL)
    with DeadLetters.of(made.config) as dead:
        letter, other = [each.id for each in dead.find()][:2]
    names = {"port": port, "letter": letter, "other": other, "waiting": stream.identity(104)}
    for words, code in COMMANDS:
        if "{backup}" in words:
            names["backup"] = next((made.directory / "backups").glob("*.rdb"))
        done = run(made.directory, words.format(**names))
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, (words, done.stderr)
        if words in REFUSED:
            assert done.stdout == "", words
            assert "remedy: " in done.stderr, words
        else:
            assert isinstance(told(done), dict), words
            assert "\x1b" not in done.stdout, words


def test_while_it_runs_status_and_health_say_so(house, simulated) -> None:
    simulated.add(3)
    made = house(admin=f"port = {free_port()}").start()
    made.wait_for_calls(3)
    wait_until(lambda: run(made.directory, "health").returncode == 0, f"all is well; {made.log}")
    found = told(run(made.directory, "status"))
    assert (found["supervisor"]["ready"], found["supervisor_error"]) == (True, "")
    assert made.stop() == 0
