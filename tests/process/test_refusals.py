"""What is wrong is said once, with the remedy, before any process is forked."""

import subprocess
import sys
from pathlib import Path

import pytest

ACCOUNT = '[[accounts]]\nname = "a"\nhost = "127.0.0.1"\nport = 1\ntls = "off"\nuser = "u"\npassword = "p"\n'
WRONG = {
    "no file": (None, 2, "supervisor.toml"),
    "no accounts": ("", 2, "accounts"),
    "syntax": ("[[accounts]\n", 2, "line 1"),
    "unknown section": (ACCOUNT + "[workers]\nprocs = 1\n", 2, "worker"),
    "unknown key": (ACCOUNT + "[worker]\nproc = 1\n", 2, "procs"),
    "wrong type": (ACCOUNT + '[worker]\nbatch_max = "many"\n', 2, "batch_max"),
    "out of range": (ACCOUNT + "[worker]\nbatch_max = 0\n", 2, "batch_max"),
    "handler module": (ACCOUNT + '[handler]\ntarget = "nowhere:handle"\n', 2, "nowhere"),
    "handler shape": (ACCOUNT + '[handler]\ntarget = "nowhere"\n', 2, "target"),
    "unreadable secret": (ACCOUNT.replace('password = "p"', 'password_file = "none"'), 2, "none"),
    "redis not there": (ACCOUNT + '[redis]\nurl = "redis://127.0.0.1:1"\n', 3, "does not answer"),
    "redis url": (ACCOUNT + '[redis]\nurl = "http://x"\n', 2, "url"),
    "data_dir": (ACCOUNT + '[redis]\ndata_dir = "/proc/nowhere"\n', 2, "data_dir"),
}


def supervise(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", "supervisor.toml", *words]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", WRONG)
def test_each_wrong_configuration_has_one_clear_message(tmp_path: Path, kind: str) -> None:
    text, code, word = WRONG[kind]
    if text is not None:
        path = tmp_path / "supervisor.toml"
        path.write_text(text)
        path.chmod(0o600)
    result = supervise(tmp_path)
    assert result.returncode == code, result.stderr
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert "remedy" in result.stderr or kind == "no accounts"
    assert len(result.stderr.splitlines()) <= 10


def test_procs_that_are_no_number(tmp_path: Path) -> None:
    (tmp_path / "supervisor.toml").write_text(ACCOUNT)
    (tmp_path / "supervisor.toml").chmod(0o600)
    result = supervise(tmp_path, "--procs", "many")
    assert (result.returncode, "--procs" in result.stderr) == (2, True)


def test_once_with_a_mail_server_that_is_not_there_ends_with_its_reason(tmp_path: Path, redis_server) -> None:
    path = tmp_path / "supervisor.toml"
    path.write_text(ACCOUNT + f'[redis]\nurl = "{redis_server.url}"\n')
    path.chmod(0o600)
    result = supervise(tmp_path, "--once")
    assert result.returncode == 3
    assert "account a (127.0.0.1:1)" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_handler_that_fails_is_named_in_the_log(house, simulated) -> None:
    simulated.add(30)
    body = "\n\ndef handle(email):\n    raise KeyError('customer')\n"
    run = house(body, retry="attempts = 1")
    assert run.run("--once") == 0
    assert "is a dead letter now (retries_exhausted): KeyError (handler_under_test.py:" in run.text()
    assert "customer" not in run.text()  # it may be a word of the mail


def test_a_mailbox_that_does_not_exist_is_named_with_those_that_do(house, simulated) -> None:
    account = 'user = "u"\npassword = "p"\ntls = "off"\nmailboxes = ["Inbocks"]'
    run = house(account=account)
    assert run.run("--once") == 3
    assert 'mailbox "Inbocks" cannot be opened' in run.text()
    assert "INBOX" in run.text()


def test_a_missing_mailbox_does_not_keep_the_others_from_being_read(house, simulated) -> None:
    simulated.add(20)
    account = 'user = "u"\npassword = "p"\ntls = "off"\nmailboxes = ["Gone", "INBOX"]\nmax_connections = 1'
    run = house(account=account)
    assert run.run("--once") == 3
    assert len(run.handled()) == 20
    assert simulated.server.server.tally.logins == 1
