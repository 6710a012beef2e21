"""`status --watch` on a real terminal, beside a real supervisor."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.operated import Operated
from support.pty_terminal import FIRST_SCREEN, OTHER_SCREEN, PtyTerminal
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.app.bench.plan import free_port
from fastmail_ingest.model.account_state import AccountState

HOSTILE = "\x1b[31m\x07[bold]NO[/] \u202e"
Watch = Callable[..., PtyTerminal]


def command(config: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "fastmail_ingest", "status", "--config", str(config), *words]


@pytest.fixture
def watch() -> Iterator[Watch]:
    made: list[PtyTerminal] = []

    def start(config: Path, *words: str, **options: Any) -> PtyTerminal:
        words = ("--watch", "--interval", "0.2", *words)
        made.append(PtyTerminal(command(config, *words), config.parent, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def alone(redis_server: RedisServer, tmp_path: Path) -> tuple[Operated, Path]:
    """A stream that nobody works on."""
    stream = Operated(redis_server)
    account = '[[accounts]]\nname = "a"\nhost = "h"\nuser = "u"\npassword = "p"\nmailboxes = ["INBOX"]\n'
    return stream, stream.config(tmp_path, f"[admin]\nport = 0\n{account}")


def test_it_draws_what_the_supervisor_does_and_follows_it(house, simulated, watch: Watch) -> None:
    simulated.add(30)
    port = free_port()
    run = house(admin=f"port = {port}").start()
    terminal = watch(run.config)
    terminal.wait_for("ready", "worker", "producer", "maintenance", "admin", "sim/INBOX", "q quits")
    terminal.wait_for("stream: 0 to handle", "p50", "handled in", " 30 ")
    assert "only what Redis knows" not in terminal.text
    simulated.add(12)
    run.wait_for_calls(42)
    terminal.wait_for(" 42 ")
    assert run.stop() == 0
    terminal.wait_for(f"nothing answers at http://127.0.0.1:{port}", "only what Redis knows is shown")
    run.start()
    terminal.wait_for("ready", "worker", "handled in")
    terminal.press("q")
    assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: terminal.press("q"), 0),
        (lambda terminal: terminal.press("Q"), 0),
        (lambda terminal: terminal.press("\x03"), 0),
        (lambda terminal: terminal.signal(signal.SIGTERM), 143),
        (lambda terminal: terminal.signal(signal.SIGHUP), 129),
    ],
    ids=["q", "Q", "ctrl-c", "term", "hup"],
)
def test_it_leaves_the_terminal_as_it_was(alone, watch: Watch, end: Any, code: int) -> None:
    _, config = alone
    terminal = watch(config)
    terminal.wait_for("q quits", "a/INBOX")
    assert not terminal.shows_cursor
    assert terminal.modes_now != terminal.modes
    # Ctrl-C takes away what was pressed before it: a read that waits would wait for the next key.
    assert terminal.modes_now[6][termios.VMIN] == 0
    terminal.press("xyz")  # keys that mean nothing are not shown, and are no commands later
    end(terminal)
    assert terminal.wait() == code
    wait_until(lambda: terminal.shows_cursor, "the cursor is back")
    assert terminal.modes_now == terminal.modes
    assert terminal.written.count(OTHER_SCREEN) == terminal.written.count(FIRST_SCREEN) == 1
    assert b"Traceback" not in terminal.written
    assert "xyz" not in terminal.text


def test_no_frame_is_ever_blank(alone, watch: Watch) -> None:
    stream, config = alone
    terminal = watch(config)
    terminal.wait_for("0 to handle")
    stream.append(1, 2, 3)
    terminal.wait_for("3 to handle")
    terminal.press("q")
    assert terminal.wait() == 0
    drawn = terminal.written.partition(OTHER_SCREEN)[2]
    # Neither the screen nor a line is erased before it is written over.
    assert not re.search(rb"\x1b\[[0-3]?[JK]", drawn)


def test_it_fits_a_window_that_changes(alone, watch: Watch) -> None:
    stream, config = alone
    terminal = watch(config)
    terminal.wait_for("0 to handle", "mailbox", "q quits")
    terminal.resize(50, 6)
    text = terminal.wait_for("more lines: enlarge")
    assert "a/INBOX" not in text
    terminal.wait_for("0 to handle")  # what matters most stays
    terminal.resize(120, 40)
    text = terminal.wait_for("a/INBOX", "q quits")
    lines = wait_until(
        lambda: [n for n, line in enumerate(terminal.text.splitlines()) if "q quits" in line] == [39],
        "the foot is the last line, and there only once",
    )
    assert lines
    terminal.resize(10, 2)
    stream.append(1)
    terminal.resize(80, 24)
    terminal.wait_for("1 to handle", "a/INBOX")


def test_it_outlives_redis(alone, watch: Watch, redis_server: RedisServer) -> None:
    stream, config = alone
    terminal = watch(config)
    terminal.wait_for("0 to handle")
    redis_server.kill()
    terminal.wait_for("does not answer", "remedy:")
    redis_server.start()
    stream.append(1, 2)
    terminal.wait_for("2 to handle")


def test_it_tells_of_a_redis_that_hangs_and_still_hears_q(alone, watch: Watch, redis_server) -> None:
    _, config = alone
    terminal = watch(config)
    terminal.wait_for("0 to handle")
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        terminal.wait_for("Redis gives no answer for")
        terminal.press("q")
        assert terminal.wait() == 0
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)


def test_ctrl_z_gives_the_terminal_back_for_a_while(alone, watch: Watch) -> None:
    _, config = alone
    terminal = watch(config)
    terminal.wait_for("q quits")
    terminal.press("\x1a")
    stat = Path(f"/proc/{terminal.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    wait_until(lambda: terminal.shows_cursor, "the cursor is back")
    assert terminal.modes_now == terminal.modes
    terminal.signal(signal.SIGCONT)
    wait_until(lambda: terminal.written.count(OTHER_SCREEN) == 2, "it has the terminal again")
    terminal.press("q")
    assert terminal.wait() == 0
    assert terminal.modes_now == terminal.modes


def test_what_strangers_said_does_nothing_to_the_terminal(alone, watch: Watch) -> None:
    stream, config = alone
    stream.ledger.accounts.put_state("a", AccountState("suspended", 4e9, 2, f"said {HOSTILE}", 1.0, "0"))
    terminal = watch(config)
    terminal.wait_for("a: said \ufffd[31m\ufffd[bold]NO[/] \ufffd")
    terminal.press("q")
    assert terminal.wait() == 0
    assert "\u202e".encode() not in terminal.written
    assert b"\x07" not in terminal.written


def colours(written: bytes) -> set[bytes]:
    return {code for found in re.findall(rb"\x1b\[([0-9;]+)m", written) for code in found.split(b";")} & {
        str(number).encode() for number in (*range(30, 39), *range(90, 98))
    }


def test_colours_only_where_they_are_wanted(alone, watch: Watch) -> None:
    _, config = alone
    for environment, wanted in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = watch(config, **environment)
        terminal.wait_for("only what Redis knows", "q quits")
        terminal.press("q")
        assert terminal.wait() == 0
        assert bool(colours(terminal.written)) == wanted


def test_elsewhere_it_says_what_to_do_and_json_is_a_line_each_time(alone) -> None:
    stream, config = alone
    done = subprocess.run(command(config, "--watch"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "remedy: ssh -t, or --json" in done.stderr
    dumb = PtyTerminal(command(config, "--watch"), config.parent, TERM="dumb")
    try:
        assert dumb.wait() == 2
        assert b"\x1b" not in dumb.written
    finally:
        dumb.close()
    words = command(config, "--watch", "--json", "--interval", "0.2")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert first["stream"]["to_handle"] == 0
        assert first["supervisor"] is None
        stream.append(1)
        assert any(json.loads(line)["stream"]["to_handle"] == 1 for line in watching.stdout)
        watching.terminate()
        for line in watching.stdout:
            assert set(json.loads(line)) == set(first)
        assert watching.wait() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--interval", "2"), "--interval goes with --watch"),
        (("--watch", "--interval", "0"), "--interval"),
        (("--watch", "--interval", "nan"), "--interval"),
        (("--watch", "--interval", "soon"), "--interval"),
    ],
)
def test_intervals_that_are_none(alone, words: tuple[str, ...], said: str) -> None:
    _, config = alone
    done = subprocess.run(command(config, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
