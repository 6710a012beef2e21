"""`cursor show|reset|rewind`: what they say, and that a running supervisor goes on from there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.invariants import assert_invariants, done_count
from support.mboxes import mail, mbox
from support.operated import Operated
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.cli.main import cli
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.mailbox import Beginning, Cursor, MailboxKey
from fastmail_ingest.simulator import mail_of
from fastmail_ingest.stream.memory import LedgerMemory

COUNT = 20
INBOX = MailboxKey("sim", "INBOX")
FIRST_DAY_S = 1704110400  # 2024-01-01 12:00 UTC
HANDLER = "\n\ndef handle(email):\n    note(email)\n"


class Desk:
    """A simulated mailbox that was handled, and the commands."""

    def __init__(self, directory: Path, simulated, server: RedisServer) -> None:
        self.stream = Operated(server)
        self.ledger = self.stream.ledger
        for number in range(COUNT):
            made = mail_of(mail(number), internal_date=FIRST_DAY_S + 86_400 * number)
            simulated.server.call(lambda made=made: simulated.mailbox.append(made))
        # A follower in IDLE looks at its cursor after poll_max.
        self.run = Supervised(directory, simulated.port, server.url, HANDLER, producer="poll_max = 1.0")
        assert self.run.run("--once") == 0, self.run.text()

    def __call__(self, *words: str, code: int = 0, answer: str = "") -> str:
        done = CliRunner().invoke(cli, ["cursor", *words, "--config", str(self.run.config)], input=answer)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *words: str) -> dict:
        return json.loads(self(*words, "--json"))

    def forget(self, *uids: int) -> None:
        """Take mails out of the memory by hand, and all contents."""
        for month in LedgerMemory(self.stream.url, "", self.stream.arguments).months():
            base = self.stream.keys.month(month.month)
            if uids:
                assert self.stream.client.srem(f"{base}:at:sim:INBOX:7:0", *uids) == len(uids)
            for key in self.stream.client.scan_iter(f"{base.replace('{', '[{]')}:known:*"):
                self.stream.client.delete(key)

    @property
    def cursor(self) -> Cursor:
        return self.ledger.cursor(INBOX)


@pytest.fixture
def desk(tmp_path: Path, simulated, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)  # where the supervisor runs, too
    made = Desk(tmp_path, simulated, server)
    yield made
    made.run.close()
    made.ledger.close()


def test_show(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(mbox([mail(99)]))
    done = CliRunner().invoke(cli, ["import", str(tmp_path / "old"), "--config", str(desk.run.config)])
    assert done.exit_code == 0, done.output
    by_name = {each["mailbox"].split(":")[0]: each for each in desk.json("show")["cursors"]}
    inbox = by_name["INBOX"]
    assert (inbox["uid_validity"], inbox["last_uid"], inbox["count"], inbox["import"]) == (
        7,
        COUNT,
        COUNT,
        False,
    )
    assert 0 < inbox["since"] <= inbox["moved_at"]
    assert by_name["import"]["import"]
    assert len(desk.json("show", "sim", "INBOX")["cursors"]) == 1
    table = desk("show")
    assert "sim/INBOX" in table
    assert str(COUNT) in table
    assert "UID or byte" in table
    assert "(old)" in table
    assert by_name["import"]["name"] == "old"


def test_rewind_to_a_uid(desk: Desk) -> None:
    desk.forget(12, 15)
    said = desk("rewind", "sim", "INBOX", "--to", "11", answer="n\n", code=1)
    assert "10 mails will be read again: 8 are done and 0 queued" in said
    assert "2 are unknown, and handled anew" in said
    assert desk.cursor == Cursor(7, COUNT)
    desk("rewind", "sim", "INBOX", "--to", "11", answer="y\n")
    assert desk.cursor == Cursor(7, 10)
    before = len(desk.run.calls())
    assert desk.run.run("--once") == 0
    assert desk.cursor == Cursor(7, COUNT)
    # Two workers: in whatever order.
    assert sorted(name for name, _ in desk.run.calls()[before:]) == ["sim:INBOX:7:12", "sim:INBOX:7:15"]
    assert_invariants(desk.stream.client)


def test_rewind_to_a_day(desk: Desk) -> None:
    said = desk.json("rewind", "sim", "--since", "2024-01-11", "--yes")
    (found,) = said["mailboxes"]
    # A day more: servers count days in time zones of their own.
    assert (found["last_uid"], found["read"], found["done"], found["unknown"]) == (9, 11, 11, 0)
    assert desk.cursor == Cursor(7, 9)
    assert desk.json("rewind", "sim", "--since", "2099-01-01", "--yes")["result"] == "nothing is put back"
    assert desk.cursor == Cursor(7, 9)


def test_rewind_never_goes_forward(desk: Desk) -> None:
    said = desk.json("rewind", "sim", "INBOX", "--to", "21", "--yes")
    assert said["result"] == "nothing is put back"
    assert "pass over mails" in said["mailboxes"][0]["note"]
    assert desk.cursor == Cursor(7, COUNT)


def test_reset(desk: Desk) -> None:
    desk.forget(1)
    said = desk.json("reset", "sim", "--yes")
    assert said["result"] == "1 cursor is forgotten"
    (found,) = said["mailboxes"]
    assert (found["read"], found["done"], found["unknown"]) == (20, 19, 1)
    assert desk.cursor == Cursor()
    before = len(desk.run.calls())
    assert desk.run.run("--once") == 0
    assert desk.cursor == Cursor(7, COUNT)
    assert len(desk.run.calls()) == before + 1


def test_reset_gives_no_name_a_second_time(desk: Desk) -> None:
    generation = 1 << 32
    desk.ledger.append(Append(INBOX, [], Cursor(generation + 7, COUNT), desk.cursor))
    assert desk.json("reset", "sim", "--yes")["mailboxes"][0]["unknown"] == COUNT
    assert desk.cursor == Cursor(generation)
    # Names of mails that had these UIDs before, and are done, would hide those that have them now.
    desk.forget()
    assert desk.run.run("--once") == 0
    assert desk.cursor == Cursor(generation + 7, COUNT)
    assert {name for name, _ in desk.run.calls()[COUNT:]} == {
        f"sim:INBOX:{generation + 7}:{n + 1}" for n in range(COUNT)
    }
    desk("reset", "sim", "--yes")
    assert desk.cursor == Cursor(generation)


@pytest.mark.parametrize("words", [("reset", "sim", "INBOX"), ("rewind", "sim", "INBOX", "--to", "1")])
def test_a_running_supervisor_notices(desk: Desk, words: tuple[str, ...]) -> None:
    desk.forget(3)
    desk.run.start()
    wait_until(lambda: desk.run.children("producer"), "a producer")
    desk(*words, "--yes")
    wait_until(lambda: desk.cursor == Cursor(7, COUNT), "it is read anew")
    wait_until(lambda: len(desk.run.calls()) == COUNT + 1, "what was unknown is handled")
    desk.run.stop()
    assert done_count(desk.stream.client) == COUNT + 1
    assert_invariants(desk.stream.client)


def test_start_now_is_told(desk: Desk) -> None:
    text = desk.run.config.read_text().replace('tls = "off"', 'tls = "off"\nstart = "now"')
    desk.run.config.write_text(text)
    assert "left alone" in desk("reset", "sim", "INBOX", answer="n\n", code=1)
    assert desk.cursor == Cursor(7, COUNT)


def test_going_back_below_where_it_began_is_told(desk: Desk) -> None:
    desk.ledger.append(Append(INBOX, [], desk.cursor, desk.cursor, began=Beginning(7, 10)))
    assert "left alone" not in desk("rewind", "sim", "INBOX", "--to", "11", answer="n\n", code=1)
    assert "what was left alone then is no longer" in desk("rewind", "sim", "INBOX", "--to", "10", "--yes")
    assert desk.ledger.beginning(INBOX).uid_validity == 0
    assert desk.cursor == Cursor(7, 9)


def test_an_import_is_read_anew(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(mbox(mail(number) for number in range(90, 95)))
    words = ["import", str(path), "--json", "--config", str(desk.run.config)]
    assert json.loads(CliRunner().invoke(cli, words).output)["new"] == 5
    (name,) = (each["mailbox"] for each in desk.json("show")["cursors"] if each["import"])
    # Not by the account alone.
    assert len(desk.json("reset", "sim", "--yes")["mailboxes"]) == 1
    assert "recognised" in desk("reset", "sim", name, "--yes")
    said = json.loads(CliRunner().invoke(cli, words).output)
    assert (said["read"], said["known"]) == (5, 5)
    with pytest.raises(ConfigError, match="restart"):
        desk("rewind", "sim", name, "--to", "1", "--yes")


def test_without_the_mail_server(desk: Desk, simulated) -> None:
    desk.run.config.write_text(desk.run.config.read_text().replace(f"port = {simulated.port}", "port = 1"))
    said = desk("reset", "sim", "INBOX", answer="n\n", code=1)
    assert "cannot be told" in said
    assert desk.json("rewind", "sim", "--since", "2024-01-02", "--yes")["result"] == "nothing is put back"
    assert desk.cursor == Cursor(7, COUNT)
    desk("rewind", "sim", "INBOX", "--to", "5", "--yes")
    assert desk.cursor == Cursor(7, 4)


BAD: list[tuple[tuple[str, ...], type[Exception] | int]] = [
    (("show", "nobody"), ConfigError),
    (("reset", "nobody"), ConfigError),
    (("reset", "sim", "Nowhere"), ConfigError),
    (("rewind", "sim"), 2),
    (("rewind", "sim", "--to", "0"), 2),
    (("rewind", "sim", "--to", "1", "--since", "2024-01-01"), 2),
    (("rewind", "sim", "--since", "yesterday"), 2),
]


@pytest.mark.parametrize(("words", "expected"), BAD)
def test_bad_words(desk: Desk, words: tuple[str, ...], expected: type[Exception] | int) -> None:
    if isinstance(expected, int):
        desk(*words, code=expected)
    else:
        with pytest.raises(expected, match="remedy"):
            desk(*words)
    assert desk.cursor == Cursor(7, COUNT)
