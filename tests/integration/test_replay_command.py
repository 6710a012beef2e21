"""`replay-eml`: what the handler got and did, for a human and for a script; a mail drives no terminal."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

HANDLER = """
    import logging, sys
    from fastmail_ingest import Reject, Retry, batch_handler

    log = logging.getLogger("shop")

    def handle(email):
        print("printed:", email.subject)
        log.warning("logged: %s", email.subject)
        deeper(email)

    def deeper(email):
        if "broken" in email.subject:
            int("x" + email.subject)
        if "later" in email.subject:
            raise Retry("busy", after=60)
        if "no" in email.subject:
            raise Reject("not for us")

    class Unready:
        def startup(self):
            raise ConnectionError("no database")

        def __call__(self, email):
            print("called")

    unready = Unready()

    @batch_handler
    def many(emails):
        print("batch of", len(emails))
        sys.stdout.buffer.write(emails[0].raw)

    def noisy(email):
        log.error("\\x1b[2J" + email.header("X-Evil"))
        print(email.text, email.header("X-Evil"), file=sys.stderr)
        raise ValueError(email.subject + "\\x1b]0;owned\\x07")
"""
ESCAPES = {*range(9), *range(11, 32), 127, *range(0x80, 0xA0)}  # but tab and line feed


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "fmi_shop.py").write_text(dedent(HANDLER))
    (tmp_path / "supervisor.toml").write_text(
        '[handler]\ntarget = "fmi_shop:handle"\n[retry]\nattempts = 3\n'
    )
    for name in ("good", "broken", "later", "no"):
        text = f"From: Ann <ann@example.org>\nSubject: {name}\n\ntext\n"
        (tmp_path / f"{name}.eml").write_text(text)
    return tmp_path


def replay(shop: Path, *words: str, given: bytes = b"") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "fastmail_ingest", "replay-eml", *words]
    result = subprocess.run(command, cwd=shop, input=given, capture_output=True, check=False)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def as_json(shop: Path, *words: str, given: bytes = b"") -> tuple[int, Any]:
    code, out, _ = replay(shop, *words, "--json", given=given)
    return code, json.loads(out)


def test_a_mail_that_is_handled(shop: Path) -> None:
    code, out, err = replay(shop, "good.eml")
    assert (code, err) == (0, "")
    for words in (
        "good.eml",
        "Ann <ann@example.org>",
        "subject    good",
        "(attempt 1)",
        "printed: good",
        "done in",
    ):
        assert words in out
    assert "WARNING shop: logged: good" in out


def test_one_that_fails_shows_the_users_code_only(shop: Path) -> None:
    code, out, _ = replay(shop, "broken.eml", "--attempt", "2")
    assert code == 1
    assert "failed: ValueError: invalid literal" in out
    assert "(failure 2 of 3)" in out
    assert 'int("x" + email.subject)' in out
    assert "batch.py" not in out
    assert "the handler raised" not in out  # the worker's own log line would say it a second time


def test_several_are_counted_and_one_is_enough_for_1(shop: Path) -> None:
    code, out, _ = replay(shop, "good.eml", "later.eml", "no.eml")
    assert code == 1
    assert "retry: busy; again in 60.0 s (failure 1 of 3)" in out
    assert "rejected: not for us; a dead letter now (rejected)" in out
    assert "3 mails: 1 done, 2 not" in out


def test_json_for_scripts(shop: Path) -> None:
    raw = (
        b"From: a@example.org\r\nSubject: later\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n'
        b'--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="t.csv"\r\n\r\n1,2\r\n--b--\r\n'
    )
    code, said = as_json(shop, "-", "good.eml", given=raw)
    assert code == 1
    assert said["handler"] == ["fmi_shop:handle"]
    first, second = said["mails"]
    assert (first["file"], first["sender"], first["subject"]) == ("standard input", "a@example.org", "later")
    assert (first["outcome"], first["after_s"], first["reason"]) == ("retry", 60.0, "busy")
    assert first["size"] == len(raw)
    assert [(each["filename"], each["content_type"]) for each in first["attachments"]] == [
        ("t.csv", "text/csv")
    ]
    assert first["log"] == ["WARNING shop: logged: later"]
    assert (second["outcome"], second["log"]) == ("done", ["WARNING shop: logged: good"])


def test_another_handler_than_the_configured(shop: Path) -> None:
    code, out, _ = replay(shop, "good.eml", "--handler", "fmi_shop:many")
    assert code == 0
    assert "batch of 1" in out
    assert "From: Ann" in out


def test_a_startup_that_fails_takes_no_mail(shop: Path) -> None:
    code, out, _ = replay(shop, "good.eml", "--handler", "fmi_shop:unready")
    assert code == 1
    assert "startup failed" in out
    assert "ConnectionError: no database" in out
    assert "called" not in out
    code, said = as_json(shop, "good.eml", "--handler", "fmi_shop:unready")
    assert code == 1
    assert "no database" in said["startup_failed"]
    assert said["mails"] == []


def test_settings_that_a_handler_in_the_box_cannot_use_are_told_as_those_of_others_are(shop: Path) -> None:
    code, out, err = replay(shop, "good.eml", "--handler", "redis-stream")
    assert code == 2
    assert err.startswith("fastmail-ingest: [redis_stream] url is not set")
    assert "remedy: " in err
    assert "startup" not in out


def test_the_account_is_the_configured_one_where_there_is_one(shop: Path) -> None:
    account = '[[accounts]]\nname = "support"\nhost = "h"\nuser = "u"\npassword = "p"\n'
    (shop / "other.toml").write_text(account)
    (shop / "other.toml").chmod(0o600)
    code, said = as_json(shop, "good.eml", "--handler", "fmi_shop:handle", "--config", "other.toml")
    assert code == 0
    assert said["mails"][0]["id"].startswith("support:import:")


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_hostile_mail_does_not_drive_the_terminal(shop: Path, words: list[str]) -> None:
    evil = "\x1b[31m\x07\x9b2J"
    raw = f"From: {evil} <a{evil}@example.org>\nSubject: {evil}\nX-Evil: {evil}\n\n{evil}\x00\x08\n".encode()
    raw += b"\r\n\x9b31m\xff"
    (shop / "evil.eml").write_bytes(raw)
    for handler in ("fmi_shop:noisy", "fmi_shop:many"):
        _, out, err = replay(shop, "evil.eml", "--handler", handler, *words)
        assert not {ord(char) for char in out + err} & ESCAPES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.eml"], "absent.eml"),
        ([], "Missing argument"),
        (["good.eml", "--handler", "fmi_shop:absent"], "no 'absent' in it"),
        (["good.eml", "--handler", "nowhere:handle"], "there is no module"),
        (["good.eml", "--config", "absent.toml"], "absent.toml"),
    ],
)
def test_what_was_asked_wrongly_ends_with_2(shop: Path, words: list[str], said: str) -> None:
    code, _, err = replay(shop, *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_chain_and_the_id_that_a_mail_has_in_production(shop: Path) -> None:
    words = [
        "good.eml",
        "--handler",
        "classify",
        "--handler",
        "fmi_shop:handle",
        "--id",
        "support:INBOX:7:4711",
    ]
    code, said = as_json(shop, *words)
    assert code == 0
    assert said["handler"] == ["classify", "fmi_shop:handle"]
    assert said["mails"][0]["id"] == "support:INBOX:7:4711"
    code, _, err = replay(shop, "good.eml", "no.eml", "--id", "a")
    assert code == 2
    assert "remedy: name one FILE" in err


def test_a_mail_that_no_handler_would_be_given_is_refused(shop: Path) -> None:
    (shop / "supervisor.toml").write_text("[producer]\nmax_mail = 100\n")
    for words, given in ((["/dev/zero"], b""), (["-"], b"x" * 101)):
        code, _, err = replay(shop, *words, "--handler", "noop", given=given)
        assert code == 2
        assert "remedy: " in err
        assert "Traceback" not in err


ENDLESS = """
    import asyncio, time

    async def swallows(email):
        print("begun")
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    async def threads(email):
        await asyncio.to_thread(time.sleep, 60)

    def catches(email):
        print("begun")
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""


@pytest.mark.parametrize(
    ("name", "words"), [("swallows", "hung: "), ("threads", "failed: "), ("catches", "hung: ")]
)
def test_one_that_never_ends_is_left_behind(shop: Path, name: str, words: str) -> None:
    (shop / "fmi_endless.py").write_text(dedent(ENDLESS))
    (shop / "supervisor.toml").write_text("[handler]\ntimeout = 0.1\n")
    code, out, err = replay(shop, "good.eml", "--handler", f"fmi_endless:{name}")
    assert code == 1
    assert words in out + err
    assert "handler.timeout" in out + err


def test_what_is_printed_is_seen_before_the_end(shop: Path) -> None:
    source = "import sys\ndef handle(email):\n    print('begun')\n    sys.stdin.read()\n"
    (shop / "fmi_waiting.py").write_text(source)
    command = [
        sys.executable,
        "-m",
        "fastmail_ingest",
        "replay-eml",
        "good.eml",
        "--handler",
        "fmi_waiting:handle",
    ]
    with subprocess.Popen(command, cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert any(line == b"begun\n" for line in iter(process.stdout.readline, b""))
        assert process.poll() is None
        process.stdin.close()
        assert b"done in" in process.stdout.read()
