"""One account in trouble leaves the others alone, and its trouble can be read in `status`."""

import json

import pytest
from click.testing import CliRunner
from support.scripted import Stage, scripted
from support.waiting import wait_until

from fastmail_ingest.cli.main import cli

GOOD = 'user = "u"\npassword = "p"\ntls = "off"'
BAD = '\n[[accounts]]\nname = "bad"\nhost = "127.0.0.1"\nport = {port}\nuser = "u"\npassword = "planted-secret"\ntls = "off"'


def login_page(stage: Stage) -> None:
    stage.say(b"HTTP/1.1 302 Found", b"Location: http://wifi.example/")
    stage.wait_for_the_end()


def refuses(said: bytes):
    def play(stage: Stage) -> None:
        stage.say(b"* OK hello")
        while True:
            tag, command = stage.hear()
            answer = tag + (b" NO " + said if command.startswith(b"LOGIN") else b" OK done")
            stage.say(b"* CAPABILITY IMAP4rev1", answer)

    return play


def floods(stage: Stage) -> None:
    stage.log_in()
    while True:
        stage.send(b"* 1 EXISTS\r\n" * 4096)


def opens_nothing(stage: Stage) -> None:
    stage.log_in()
    while True:
        tag, command = stage.hear()
        opens = command.startswith(b"EXAMINE")
        stage.say(tag + (b" NO User is authenticated but not connected." if opens else b" OK done"))


TROUBLES = {
    "login page": (login_page, "ok", "speaks no IMAP"),
    "wrong password": (refuses(b"[AUTHENTICATIONFAILED] no"), "suspended", "login of u refused"),
    "IMAP switched off": (opens_nothing, "suspended", "see that IMAP is enabled"),
    "used up": (refuses(b"[OVERQUOTA] Account exceeded command or bandwidth limits"), "resting", "bandwidth"),
    "asks to wait": (refuses(b"Request is throttled. Suggested Backoff Time: 90000 milliseconds"), "resting", "throttled"),
    "flood": (floods, "ok", "more than"),
}  # fmt: skip


@pytest.mark.parametrize(("play", "standing", "words"), TROUBLES.values(), ids=TROUBLES)
def test_the_other_account_goes_on(house, simulated, play, standing: str, words: str) -> None:
    simulated.add(50)
    with scripted(play) as port:
        run = house(account=GOOD + BAD.format(port=port)).start()
        run.wait_for_calls(50)
        wait_until(lambda: words in run.text(), "the trouble is told")
        simulated.add(20)
        run.wait_for_calls(70)

        def told() -> dict:
            done = CliRunner().invoke(cli, ["status", "--config", str(run.config), "--json"])
            assert done.exit_code == 0, done.output
            return {account["account"]: account for account in json.loads(done.output)["accounts"]}

        wait_until(lambda: told()["bad"]["standing"] == standing, "the account stands as it should")
        assert told()["sim"]["standing"] == "ok"
        assert run.stop() == 0
    assert "planted-secret" not in run.text()
    assert len(run.calls()) == 70
