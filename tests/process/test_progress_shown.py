"""How long work shows how far it is: a bar on a terminal, elsewhere lines, and standard output stays clean."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.operated import Operated
from support.pty_terminal import PtyTerminal
from support.redis_server import RedisServer

from fastmail_ingest.app.operate import progress as module
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.picture import picture

HOSTILE = "\x1b[31m\x07[bold]NO[/]"
# Goes on with each line that it reads.
STEPS = """
from fastmail_ingest.app.operate import words
from fastmail_ingest.app.operate.picture import picture
with words.progress("replay", 40) as bar:
    bar(int(input()))
    input()
    bar(30)
    input()
with picture("import", 2_000_000) as shown:
    shown.show(1_000_000, "7 mails of {hostile}")
    shown.wait("Redis is {hostile}")
    input()
with words.busy("check"):
    input()
print("done")
"""


@pytest.fixture
def stepping(tmp_path: Path) -> Iterator[PtyTerminal]:
    (tmp_path / "steps.py").write_text(STEPS.replace("{hostile}", HOSTILE.encode("unicode_escape").decode()))
    made = PtyTerminal([sys.executable, "steps.py"], tmp_path, columns=160)
    yield made
    made.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)


def test_a_terminal_has_bars_that_move(stepping: PtyTerminal) -> None:
    stepping.wait_for("replay", "0/40")
    stepping.press("10\n")
    stepping.wait_for("10/40")
    stepping.press("\n")
    stepping.wait_for("40/40")
    stepping.press("\n")
    stepping.wait_for("1.0/2.0 MB", "7 mails of \ufffd[31m\ufffd[bold]NO[/]", "waits: Redis is \ufffd")
    stepping.press("\n")
    stepping.wait_for("check")
    stepping.press("\n")
    stepping.wait_for("done")
    assert stepping.wait() == 0
    assert stepping.shows_cursor
    assert b"\x07" not in stepping.written


def test_elsewhere_it_is_a_line_now_and_then(at_once: None, capsys: pytest.CaptureFixture[str]) -> None:
    with words.progress(f"replay {HOSTILE}", 40) as bar:
        bar(10)
        bar(30)
    with picture("import", 2_000_000) as shown:
        shown.show(1_000_000, f"7 mails of {HOSTILE}")
        shown.wait("Redis is full")
        shown.wait("")
    with words.busy("check"):
        pass
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "replay \ufffd[31m\ufffd[bold]NO[/]: 10 of 40 (25 %)",
        "replay \ufffd[31m\ufffd[bold]NO[/]: 40 of 40 (100 %)",
        "import: 1.0 of 2.0 MB, 7 mails of \ufffd[31m\ufffd[bold]NO[/]",
        "import: waits: Redis is full",
    ]


def test_what_is_done_soon_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # colours in a file are wanted, a bar that moves there is not
    with words.progress("replay", 2) as bar, words.busy("check"):
        bar(1)
        bar(1)
    assert capsys.readouterr() == ("", "")


def test_an_empty_total_is_no_trouble(at_once: None, capsys: pytest.CaptureFixture[str]) -> None:
    with words.progress("checksum", 0) as bar:
        words.share(bar)(0.5)
    assert "checksum: 50 of 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [("dead", "replay", "--all"), ("dead", "clear"), ("retries", "now", "--all")]
)
def test_bars_leave_nothing_behind_on_a_terminal(
    redis_server: RedisServer, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    stream = Operated(redis_server)
    stream.bury(*range(1, 6))
    stream.delay(*range(6, 11))
    config = stream.config(tmp_path)
    words = [sys.executable, "-m", "fastmail_ingest", *verb, "--config", str(config)]
    terminal = PtyTerminal(words, tmp_path)
    try:
        terminal.wait_for("5 ", "[y/N]")
        terminal.press("y\n")
        assert terminal.wait() == 0
        assert "5" in terminal.text.split("[y/N]")[1]
        assert "━" not in terminal.text
        assert terminal.shows_cursor
    finally:
        terminal.close()


def test_no_is_no_and_nothing_is_moved(redis_server: RedisServer, tmp_path: Path) -> None:
    stream = Operated(redis_server)
    stream.delay(1, 2, 3, after_s=5000)
    config = stream.config(tmp_path)
    words = [sys.executable, "-m", "fastmail_ingest", "retries", "now", "--all", "--config", str(config)]
    terminal = PtyTerminal(words, tmp_path)
    try:
        terminal.wait_for("Give 3 mails to the handler now", "[y/N]")
        terminal.press("n\n")
        assert terminal.wait() == 1
    finally:
        terminal.close()
    assert stream.client.zcard(stream.keys.delayed) == 3
