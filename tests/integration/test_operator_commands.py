"""The operator's commands as a shell sees them: words, exit codes, JSON, and nothing hostile on the screen."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.invariants import assert_invariants
from support.operated import Operated
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

import fastmail_ingest
from fastmail_ingest.cli.main import cli
from fastmail_ingest.errors import StreamUnavailable

HOSTILE = (
    b'From: "\x1b[31mEve\x07" <eve@example.org>\r\n'
    b"Subject: \x1b]0;owned\x07 [bold red]x[/] :boom: \xff\xfe \xe2\x80\xaegnp.exe =?utf-8?b?G1szMW0=?=\r\n\r\n"
    b"text \x1b[2J [link=http://x]here[/link]\r\n\x9b1m\r\n"
)
CONTROL = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x202E)} - {"\n", "\t"}


class Shell:
    """Runs commands beside a configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.out = self.err = ""
        self.raw = b""

    def __call__(self, *words: str, answer: str = "", env: dict[str, str] | None = None) -> int:
        done = subprocess.run(
            [sys.executable, "-m", "fastmail_ingest", *words], cwd=self.directory, capture_output=True,
            input=answer.encode(), timeout=60, check=False, env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.raw = done.stdout
        self.out, self.err = done.stdout.decode(errors="replace"), done.stderr.decode()
        assert "Traceback (most" not in self.err, self.err
        return done.returncode

    def json(self, *words: str) -> dict:
        assert self(*words, "--json") == 0, self.err
        return json.loads(self.out)


@pytest.fixture(scope="module")
def server(redis_binary: str) -> Iterator[RedisServer]:
    made = RedisServer(redis_binary)
    yield made
    made.close()


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    return Operated(server)


@pytest.fixture
def shell(tmp_path: Path, stream: Operated) -> Shell:
    stream.config(tmp_path)
    return Shell(tmp_path)


READING = [
    ("dead", "list"),
    ("retries", "list"),
    ("ledger", "show"),
]


@pytest.mark.parametrize("words", READING)
def test_nothing_there(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell(*words) == 0
    assert len(shell.out.splitlines()) == 1
    assert isinstance(shell.json(*words), dict)


def test_dead_list_shows_the_newest_first(shell: Shell, stream: Operated) -> None:
    stream.bury(1, 2, reason="rejected")
    stream.bury(3, error="KeyError")
    assert shell("dead", "list") == 0
    lines = shell.out.splitlines()
    assert [lines[at].count(f"a:INBOX:7:{uid}") for at, uid in ((1, 3), (2, 2), (3, 1))] == [1, 1, 1]
    assert "3 shown of 3" in lines[-1]
    assert "ann@example.org" in shell.out
    assert shell("dead", "list", "--reason", "rejected", "--limit", "1") == 0
    assert "a:INBOX:7:2" in shell.out
    assert "a:INBOX:7:1" not in shell.out
    found = shell.json("dead", "list", "--error", "KeyError", "--since", "1h", "--account", "a")
    assert found["total"] == 3
    (letter,) = found["letters"]
    assert (letter["identity"], letter["uid"], letter["subject"]) == ("a:INBOX:7:3", 3, "mail 3")
    assert letter["id"] == stream.letter_ids()[2]
    assert shell.json("dead", "list", "--older", "1h")["letters"] == []


def test_dead_show_tells_the_history(shell: Shell, stream: Operated) -> None:
    stream.bury(5, message="no such customer", traceback="Traceback:\n  File x, line 3\nValueError: no\n")
    (name,) = stream.letter_ids()
    for word in (name, "a:INBOX:7:5"):
        assert shell("dead", "show", word) == 0
        for text in (name, "no such customer", "line 3", "UID 5", "mail 5", "body of 5", "0 replays"):
            assert text in shell.out, text
    facts = shell.json("dead", "show", name)
    assert (facts["message"], facts["uid"]) == ("no such customer", 5)
    assert "line 3" in facts["traceback"]


def test_a_mail_is_exported_into_a_file_of_ones_own(shell: Shell, stream: Operated) -> None:
    stream.bury(1, raw=HOSTILE)
    target = shell.directory / "mail.eml"
    os.umask(0)
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "mail.eml") == 0
    assert target.read_bytes() == HOSTILE
    assert target.stat().st_mode & 0o777 == 0o600
    target.write_bytes(b"mine")
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "mail.eml") == 2
    assert "--force" in shell.err
    assert target.read_bytes() == b"mine"
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "mail.eml", "--force") == 0
    assert target.read_bytes() == HOSTILE
    (shell.directory / "link.eml").symlink_to(shell.directory / "elsewhere")
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "link.eml") == 2
    assert not (shell.directory / "elsewhere").exists()
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "none/mail.eml") == 2
    assert shell("dead", "show", "a:INBOX:7:1", "--eml", "-") == 0
    assert shell.raw == HOSTILE


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_hostile_reaches_the_terminal(shell: Shell, stream: Operated, as_json: bool) -> None:
    stream.bury(
        1, raw=HOSTILE, error="\x1b[31mError", message="[red]\x9b\x07no", traceback="\x1b[2J[b]x[/b]\r\n"
    )
    stream.bury_foreign({"\x1b[1m[b]name": b"\x1b]0;x\x07\xff", "m": b""})
    stream.delay(2, error="\x1b[31m[red]KeyError: \x07")
    foreign = stream.letter_ids()[1]
    more = ["--json"] if as_json else []
    commands = [
        ("dead", "list"),
        ("dead", "show", "a:INBOX:7:1"),
        ("dead", "show", foreign),
        ("retries", "list"),
    ]
    for words in commands:
        assert shell(*words, *more) == 0
        assert not CONTROL & set(shell.raw.decode()), (words, shell.raw)
    assert shell("dead", "show", "a:INBOX:7:1", "--raw") == 0
    assert not CONTROL & set(shell.raw.decode())
    assert "[link=http://x]here[/link]" in shell.out
    if not as_json:
        shell("dead", "list")
        assert "[bold red]x[/] :boom:" in shell.out


def test_a_terminal_without_the_letters_of_a_mail(shell: Shell, stream: Operated) -> None:
    stream.bury(1, mailbox="März", raw="Subject: Grüße 🎉\r\n\r\nü".encode())
    for words in (["dead", "list"], ["dead", "show", "a:März:7:1"], ["dead", "show", "a:März:7:1", "--raw"]):
        assert shell(*words, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}) == 0
        assert "\\xfc" in shell.out or "\\xe4" in shell.out


def test_a_foreign_letter_is_listed_and_shown(shell: Shell, stream: Operated) -> None:
    stream.bury_foreign({"by": b"hand"})
    assert shell("dead", "list") == 0
    assert "undecodable" in shell.out
    assert shell("dead", "show", *stream.letter_ids()) == 0
    assert "field by" in shell.out
    assert "hand" in shell.out
    assert shell("dead", "replay", "--all", "--yes") == 0
    assert "0 replayed; 1 left out" in shell.out


def test_replay_one_by_filter_and_all(shell: Shell, stream: Operated) -> None:
    stream.bury(1, 2, 3, 4)
    stream.bury(5, 6, error="KeyError")
    assert shell("dead", "replay", "a:INBOX:7:1", stream.letter_ids()[1]) == 0
    assert "2 replayed" in shell.out
    assert shell("dead", "replay", "--error", "KeyError", "--rate", "1000", answer="n\n") == 1
    assert len(stream.letter_ids()) == 4
    assert shell("dead", "replay", "--error", "KeyError", "--rate", "1000", answer="y\n") == 0
    assert len(stream.letter_ids()) == 2
    assert shell.json("dead", "replay", "--all", "--yes") == {"replayed": 2, "left_out": 0}
    assert len(stream.entries()) == 6
    assert_invariants(stream.client)


def test_remove_and_clear_ask(shell: Shell, stream: Operated) -> None:
    stream.bury(1, 2, 3)
    assert shell("dead", "remove", "a:INBOX:7:1") == 1
    assert shell("dead", "clear") == 1
    assert len(stream.letter_ids()) == 3
    assert shell("dead", "remove", "a:INBOX:7:1", answer="y\n") == 0
    assert shell.json("dead", "clear", "--yes", "--account", "b") == {"removed": 0, "left_out": 0}
    assert shell.json("dead", "clear", "--yes") == {"removed": 2, "left_out": 0}
    assert stream.ledger.states([stream.identity(uid) for uid in (1, 2, 3)]) == ["done"] * 3


@pytest.mark.parametrize("verb", ["replay", "clear"])
def test_where_no_letter_matches_nothing_is_asked(shell: Shell, stream: Operated, verb: str) -> None:
    stream.bury(1)
    assert shell("dead", verb, "--error", "KeyError") == 0
    assert "no dead letter matches" in shell.out
    assert not shell.err
    assert len(stream.letter_ids()) == 1


def test_retries(shell: Shell, stream: Operated) -> None:
    stream.delay(1, 2, 3, after_s=5000)
    assert shell("retries", "list") == 0
    assert "83.3 min" in shell.out or "83.2 min" in shell.out or "1.4 h" in shell.out
    assert "ValueError: no good" in shell.out
    found = shell.json("retries", "list")
    assert (found["total"], found["retries"][0]["failures"]) == (3, 1)
    assert 4900 < found["retries"][0]["due_in_s"] <= 5000
    assert shell.json("retries", "now", "a:INBOX:7:1") == {"moved": 1}
    assert shell("retries", "now", "--all", "--yes") == 0
    assert "2 mails go" in shell.out
    assert_invariants(stream.client)


def test_ledger(shell: Shell, stream: Operated) -> None:
    stream.append(*range(1, 50))
    stream.finish()
    assert shell("ledger", "show") == 0
    assert "49 mails" in shell.out
    found = shell.json("ledger", "show")
    assert (found["handled"], found["keep_days"], len(found["months"])) == (49, 90, 1)
    month = found["months"][0]["month"]
    assert shell("ledger", "clear", "--all", answer="n\n") == 1
    assert "49 handled mails of all months" in shell.err
    assert "handled again" in shell.err
    assert shell.json("ledger", "clear", "--before", month, "--yes") == {"forgotten": 0}
    assert shell.json("ledger", "clear", "--all", "--yes") == {"forgotten": 49}
    assert shell.json("ledger", "show")["months"] == []


WRONG = [
    (("dead", "show"), "ID"),
    (("dead", "show", "1-1"), "dead list"),
    (("dead", "show", "\x1b[31m"), "dead list"),
    (("dead", "show", "1-1", "--raw", "--json"), "exclude"),
    (("dead", "replay"), "--all"),
    (("dead", "replay", "1-1", "--all"), "--all"),
    (("dead", "replay", "--all", "--reason", "rejected"), "--all"),
    (("dead", "replay", "nobody"), "dead list"),
    (("dead", "replay", "--all", "--rate", "0"), "--rate"),
    (("dead", "replay", "--all", "--rate", "nan"), "--rate"),
    (("dead", "remove"), "ID"),
    (("dead", "remove", "nobody", "--yes"), "dead list"),
    (("dead", "list", "--reason", "bad"), "rejected"),
    (("dead", "list", "--since", "soon"), "15m"),
    (("dead", "list", "--since", "-5m"), "--since"),
    (("dead", "list", "--limit", "0"), "--limit"),
    (("retries", "now"), "--all"),
    (("retries", "now", "x", "--all"), "--all"),
    (("retries", "now", "x"), "retries list"),
    (("ledger", "clear"), "--before"),
    (("ledger", "clear", "--before", "2026-13"), "YYYY-MM"),
    (("ledger", "clear", "--before", "2026-01", "--all"), "--before"),
    (("audit",), "accounts"),
    (("import", "--mailbox", "x", "--since", "2020-01-01", "--until", "2019-01-01"), "--since is after"),
    (("cursor", "rewind", "a", "--to", "1", "--since", "2024-01-01"), "only one of them"),
    (("cursor", "show", "nobody"), "nothing was read yet"),
    (("dead", "list", "--config", "none.toml"), "none.toml"),
]


@pytest.mark.parametrize(
    ("words", "said"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_wrong_words_are_refused(shell: Shell, words: tuple[str, ...], said: str) -> None:
    assert shell(*words) == 2
    assert said in shell.err
    assert not CONTROL & set(shell.err)


@pytest.mark.parametrize(
    "words", [*READING, ("dead", "clear", "--yes"), ("retries", "now", "--all", "--yes"), ("audit",)]
)
def test_redis_away(tmp_path: Path, words: tuple[str, ...]) -> None:
    account = '[[accounts]]\nname = "a"\nhost = "127.0.0.1"\nport = 1\nuser = "u"\npassword = "p"\n'
    path = tmp_path / "supervisor.toml"
    path.write_text(account + '[redis]\nurl = "redis://user:secret@127.0.0.1:1"\n')
    path.chmod(0o600)
    shell = Shell(tmp_path)
    assert shell(*words) == 3
    assert "does not answer" in shell.err
    assert "secret" not in shell.err
    path.write_text(account + '[redis]\ndata_dir = "data"\n')
    assert shell(*words) == 3
    assert "does not run" in shell.err
    assert "remedy" in shell.err
    assert not (tmp_path / "data").exists()


def test_the_python_api(stream: Operated, tmp_path: Path) -> None:
    config = stream.config(tmp_path)
    stream.bury(1, 2)
    stream.delay(3)
    with fastmail_ingest.DeadLetters.of(config) as dead:
        assert [letter.identity for letter in dead] == ["a:INBOX:7:1", "a:INBOX:7:2"]
        assert dead.replay(fastmail_ingest.LetterFilter(error="ValueError"), rate=1000) == 2
    with fastmail_ingest.RetrySchedule.of(str(config)) as schedule:
        assert schedule.now([waiting.identity for waiting in schedule]) == 1
    with fastmail_ingest.LedgerMemory.of(config) as memory:
        assert memory.months()[0].handled == 0
    stream.client.connection_pool.disconnect()
    with pytest.raises(AttributeError, match="NoSuchThing"):
        fastmail_ingest.NoSuchThing  # noqa: B018
    config.write_text('[redis]\nurl = "redis://127.0.0.1:1"\n')
    with pytest.raises(StreamUnavailable):
        fastmail_ingest.DeadLetters.of(config)


def test_tools_are_loaded_when_they_are_asked_for() -> None:
    program = (
        "import sys, fastmail_ingest\nassert 'redis' not in sys.modules\n"
        "fastmail_ingest.DeadLetters\nassert 'redis' in sys.modules\n"
        "from fastmail_ingest import LetterFilter"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("verb", ["dead list", "dead show", "dead replay", "dead remove", "dead clear",
                                  "retries list", "retries now", "ledger show", "ledger clear", "audit"])  # fmt: skip
def test_each_help_has_an_example_that_is_its_own(verb: str) -> None:
    said = CliRunner().invoke(cli, [*verb.split(), "--help"]).output
    assert f"fastmail-ingest {verb}" in said
    assert "--json" in said
    assert "--config" in said


def test_the_whole_way_beside_a_supervisor(tmp_path: Path, stream: Operated, simulated) -> None:
    simulated.add(10)
    body = """

        from fastmail_ingest import Reject, Retry

        def handle(email):
            note(email)
            if email.attempt == 1 and email.uid <= 5:
                raise Reject("not at once")
            if email.attempt == 1:
                raise Retry(after=3000)
    """
    run = Supervised(tmp_path, simulated.port, stream.url, body).start()
    shell = Shell(tmp_path)
    try:
        wait_until(lambda: len(stream.letter_ids()) == 5, "five mails are dead letters")
        wait_until(lambda: shell.json("retries", "list")["total"] == 5, "five mails wait")
        assert shell.json("dead", "replay", "--all", "--yes")["replayed"] == 5
        assert shell.json("retries", "now", "--all", "--yes")["moved"] == 5
        wait_until(lambda: shell.json("ledger", "show")["handled"] == 10, "all mails are handled")
        assert sorted(attempt for _, attempt in run.calls()) == [1] * 10 + [2] * 10
        assert shell.json("audit")["verdict"].startswith("no gap, no double in 10 mails")
        assert run.stop() == 0
    finally:
        run.close()
    assert_invariants(stream.client)


def test_a_reader_that_goes_away(shell: Shell, stream: Operated) -> None:
    stream.bury(*range(1, 2001))
    command = f"{sys.executable} -m fastmail_ingest dead list --json | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=shell.directory, capture_output=True, timeout=60, check=False
    )
    assert done.stdout.startswith(b'{"total": 2000')
    assert b"Traceback" not in done.stderr
