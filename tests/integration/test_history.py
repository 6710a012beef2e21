"""`import --mailbox`: what it says it will cost, and that it fetches just what is not known."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from support.dovecot import PASSWORD, Dovecot
from support.invariants import assert_invariants
from support.mboxes import mail, mbox
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.app.operate import history, importing
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import FastmailIngestError, MailboxRefused
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxState
from fastmail_ingest.simulator import (
    Account,
    Fault,
    Faults,
    ImapServer,
    Mailbox,
    ServerThread,
    Store,
    mail_of,
)
from fastmail_ingest.source.history import HistoryConnection

COUNT = 40


def day(number: int) -> float:
    """Noon of the day on which mail `number` came."""
    return datetime(2024, 1 + number // 20, 1 + number % 20, 12, tzinfo=UTC).timestamp()


class Refused(Exception):
    """The answer was no."""


class Past:
    """A mailbox with old mails, a stream, and what `import --mailbox` says."""

    def __init__(
        self, server: RedisServer, directory: Path, port: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.stream = Operated(server)
        self._directory, self._port, self._capsys = directory, port, capsys
        self.asked: list[str] = []
        self.answered: Callable[[], None] = lambda: None
        self.configure()

    def configure(self, account: str = "", port: int = 0, user: str = "u") -> None:
        text = (
            f'[[accounts]]\nname = "a"\nhost = "127.0.0.1"\nport = {port or self._port}\ntls = "off"\nuser = "{user}"\n'
            f'password = "{PASSWORD}"\n{account}\n'
            f'[blobs]\ndirectory = "{self._directory}/blobs"\n[producer]\ntimeout = 5\n'
        )
        self.config: Config = load(self.stream.config(self._directory, text), {})

    def __call__(self, *, code: int = 0, answer: bool = True, **options: object) -> dict:
        def ask(text: str) -> None:
            self.asked.append(text)
            if not answer:
                raise Refused
            self.answered()

        order = history.HistoryOrder("INBOX", **options)  # type: ignore[arg-type]
        assert history.import_history(self.config, order, ask, as_json=True) == code
        return json.loads(self._capsys.readouterr().out)

    def mails(self) -> list[codec.Envelope]:
        entries = self.stream.entries()
        assert {entry.lane for entry in entries} <= {Lane.BACKFILL}
        return [codec.decode(entry.payload) for entry in entries]

    def uids(self) -> list[int]:
        return [each.uid for each in self.mails()]


class SimulatedPast:
    def __init__(self) -> None:
        self.faults = Faults(5, 0.0)
        self.mailbox = Mailbox("INBOX", uid_validity=7)
        account = Account("u", PASSWORD)
        account.add(self.mailbox)
        for number in range(COUNT):
            self.mailbox.append(mail_of(mail(number), internal_date=day(number)))
        self.server = ServerThread(ImapServer(Store([account]), faults=self.faults))


@pytest.fixture
def simulated_past() -> Iterator[SimulatedPast]:
    made = SimulatedPast()
    with made.server:
        yield made


@pytest.fixture
def past(
    server: RedisServer, tmp_path: Path, simulated_past: SimulatedPast, capsys: pytest.CaptureFixture[str]
) -> Iterator[Past]:
    made = Past(server, tmp_path, simulated_past.server.port, capsys)
    yield made
    made.stream.ledger.close()


def test_all_of_a_mailbox(past: Past) -> None:
    said = past()
    assert past.uids() == list(range(1, COUNT + 1))
    assert (said["fetched"], said["new"], said["estimate"]["mails"]) == (COUNT, COUNT, COUNT)
    assert past.mails()[0].id == "a:INBOX:7:1"
    size = sum(len(mail(number)) for number in range(COUNT))
    assert said["size"] == said["estimate"]["size"] == size
    assert f"{COUNT} mails, 0 known. {COUNT} mails with {size / 1e6:.1f} MB" in past.asked[0]
    assert_invariants(past.stream.client)


def test_a_span_of_days_with_one_more_on_either_side(past: Past) -> None:
    past(since=date(2024, 1, 5), until=date(2024, 1, 10))
    assert past.uids() == [4, 5, 6, 7, 8, 9, 10, 11]
    past(since=date(2024, 2, 18))
    assert past.uids()[8:] == [37, 38, 39, 40]
    assert past(since=date(9999, 1, 1), until=date.max)["fetched"] == 0
    assert past(since=date.min, until=date(2023, 1, 1))["fetched"] == 0


def test_what_is_known_is_not_fetched(past: Past) -> None:
    past(since=date(2024, 1, 5), until=date(2024, 1, 10))
    past.stream.finish()
    said = past()
    assert (said["estimate"]["known"], said["estimate"]["to_fetch"], said["fetched"]) == (8, 32, 32)
    past.stream.finish()
    said = past()
    assert (said["estimate"]["known"], said["fetched"]) == (COUNT, 0)
    assert len(past.asked) == 2  # nothing to ask for the third time


def test_what_came_out_of_an_archive_is_known_by_its_content(past: Past, tmp_path: Path, capsys) -> None:
    path = tmp_path / "old.mbox"
    path.write_bytes(mbox(mail(number) for number in range(10)))
    importing.import_archives(past.config, importing.ImportOrder([path]), as_json=True)
    capsys.readouterr()
    said = past()
    assert (said["fetched"], said["new"]) == (COUNT, COUNT - 10)
    assert past()["estimate"]["known"] == COUNT


def test_equal_mails_of_one_mailbox_are_two(past: Past, simulated_past: SimulatedPast) -> None:
    simulated_past.server.call(lambda: simulated_past.mailbox.append(mail_of(mail(3), internal_date=day(3))))
    assert past()["new"] == COUNT + 1


def test_no_is_no(past: Past) -> None:
    with pytest.raises(Refused):
        past(answer=False)
    assert past.mails() == []


def test_a_dry_run_only_tells(past: Past) -> None:
    past.configure("daily_bytes = 1000")
    said = past(dry_run=True)
    assert past.mails() == []
    assert past.asked == []
    assert said["estimate"]["days"] == pytest.approx(said["estimate"]["size"] / 800, abs=0.01)


def test_a_large_number_is_estimated_from_a_sample(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_SAMPLE", 10)
    said = past(dry_run=True)
    assert not said["estimate"]["exact"]
    assert said["estimate"]["size"] == pytest.approx(
        sum(len(mail(number)) for number in range(COUNT)), rel=0.05
    )


def test_the_budget_of_a_day_is_kept_and_some_is_left_for_live_mail(
    past: Past, simulated_past: SimulatedPast
) -> None:
    past.configure("daily_bytes = 1000000")
    past.stream.ledger.accounts.spend("a", 790_000, 1)
    assert past()["fetched"] == COUNT
    spent = sum(past.stream.ledger.accounts.spent("a").values())
    assert spent == 790_000 + sum(len(mail(number)) for number in range(COUNT))
    assert past.stream.ledger.accounts.state("a").standing == "ok"


@pytest.mark.parametrize("fault", [Fault.CUT_LITERAL, Fault.BYE])
def test_a_server_that_hangs_up(past: Past, simulated_past: SimulatedPast, fault: Fault) -> None:
    # Not while it says what it costs: then a human is there.
    real = past.answered

    def answered() -> None:
        simulated_past.faults.arm(fault, 2)
        real()

    past.answered = answered
    said = past()
    assert simulated_past.faults.struck[fault] == 2
    assert said["new"] == COUNT
    assert sorted(past.uids()) == list(range(1, COUNT + 1))


def test_a_mail_that_the_server_does_not_give_out_is_told_and_tried_again_next_time(
    past: Past, simulated_past: SimulatedPast
) -> None:
    simulated_past.faults.poison("INBOX", 7, Fault.NO_TO_FETCH)
    said = past(code=1)
    assert "UID 7 is left out" in said["problems"][0]
    assert said["new"] == COUNT - 1
    simulated_past.faults.heal()
    said = past()
    assert (said["fetched"], said["problems"]) == (1, [])


def test_a_mailbox_that_is_not_there(past: Past) -> None:
    order = history.HistoryOrder("Nowhere")
    with pytest.raises(MailboxRefused, match="INBOX"):
        history.import_history(past.config, order, lambda _: None, as_json=True)


def test_a_server_that_is_not_there(past: Past) -> None:
    past.configure(port=1)
    with pytest.raises(FastmailIngestError, match="remedy"):
        past()


@pytest.mark.dovecot
def test_on_dovecot(
    server: RedisServer, tmp_path: Path, dovecot: Dovecot, capsys: pytest.CaptureFixture[str]
) -> None:
    user = tmp_path.name
    with dovecot.client(user) as client:
        for number in range(COUNT):
            client.append("INBOX", mail(number), msg_time=datetime.fromtimestamp(day(number), UTC))
        for number in (3, 4, 30):
            client.select_folder("INBOX")
            client.delete_messages([number])
            client.expunge()
    past = Past(server, tmp_path, dovecot.port, capsys)
    past.configure(user=user)
    said = past(since=date(2024, 1, 5), until=date(2024, 1, 10))
    assert past.uids() == [5, 6, 7, 8, 9, 10, 11]
    assert said["estimate"]["size"] == said["size"]
    past()
    assert sorted(past.uids()) == [uid for uid in range(1, COUNT + 1) if uid not in {3, 4, 30}]
    assert {each.raw for each in past.mails()} <= {mail(number) for number in range(COUNT)}
    past.stream.ledger.close()


def test_uids_that_do_not_last_are_refused(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    examine = HistoryConnection.examine

    def fleeting(source: HistoryConnection, mailbox: str) -> MailboxState:
        return msgspec.structs.replace(examine(source, mailbox), sticky=False)

    monkeypatch.setattr(HistoryConnection, "examine", fleeting)
    with pytest.raises(MailboxRefused, match=r"UIDNOTSTICKY.*remedy"):
        past()
    assert past.mails() == []
