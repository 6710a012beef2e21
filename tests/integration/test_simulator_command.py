"""`python -m fastmail_ingest.simulator`, as somebody types it who has not read how."""

import socket
import subprocess
import sys

import pytest


def refused(*words: str) -> str:
    """What it says and ends."""
    command = [sys.executable, "-m", "fastmail_ingest.simulator", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--size", "foo"), ("--size", "-1"), ("--emails", "-3"), ("--emails", "9" * 5000), ("--rate", "nan"),
        ("--rate", "-1"), ("--port", "70000"),
    ],
)  # fmt: skip
def test_words_that_mean_nothing_are_refused_with_what_is_expected(words: tuple[str, str]) -> None:
    said = refused(*words)
    assert words[0] in said
    assert "expected a" in said


def test_a_port_in_use_is_said_to_be_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = refused("--port", str(other.getsockname()[1]))
    assert "address already in use" in said.lower()
    assert "remedy: another --port" in said


def test_the_inbox_is_not_as_large_as_a_folder_that_gmail_has_cut() -> None:
    command = [sys.executable, "-m", "fastmail_ingest.simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        shown = ""
        while "mailboxes" not in shown:
            shown = process.stdout.readline()
            assert shown
        process.terminate()
    assert "INBOX (500)" in shown
