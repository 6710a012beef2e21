"""The audit finds each gap and each double that is planted, and none where there is none."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.dovecot import PASSWORD, Dovecot
from support.odd_mails import odd_mails
from support.operated import UID_VALIDITY, Operated
from support.redis_server import RedisServer
from support.supervised import Supervised

from fastmail_ingest.app.operate import audit as mailboxes
from fastmail_ingest.app.operate.audit_run import audit
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.model.identity import identify
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.simulator import Account, Corpus, ImapServer, Mailbox, ServerThread, Store, preload
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.inspection import Inspection
from fastmail_ingest.stream.memory import LedgerMemory

COUNT = 30


class Audited:
    """A simulated server, a stream, and what the audit says of them."""

    def __init__(self, directory: Path, port: int, redis_server: RedisServer, **account: str) -> None:
        self.stream = Operated(redis_server)
        self.client, self.keys = self.stream.client, self.stream.keys
        body = "\n\ndef handle(email):\n    note(email)\n"
        self.run = Supervised(directory, port, redis_server.url, body, **account)

    def fetch(self) -> None:
        assert self.run.run("--once") == 0, self.run.text()

    @property
    def config(self) -> Config:
        return load(self.run.config, {})

    def name(self, uid: int, mailbox: str = "INBOX") -> str:
        return identify("sim", mailbox, UID_VALIDITY, uid)

    def forget(self, *uids: int) -> None:
        """Take mails out of the memory by hand."""
        (month,) = LedgerMemory(self.stream.url, "", self.stream.arguments).months()
        base = f"{self.keys.month(month.month)}:at:sim:INBOX:{UID_VALIDITY}:0"
        assert self.client.srem(base, *uids) == len(uids)


@pytest.fixture
def audited(tmp_path: Path, simulated, redis_server: RedisServer) -> Iterator[Audited]:
    simulated.add(COUNT)
    for mail in simulated.mailbox.mails:
        mail.internal_date = time.time()
    made = Audited(tmp_path, simulated.port, redis_server)
    yield made
    made.run.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    def asked(config: Config, account: str = "", mailbox: str = "") -> tuple[int, dict]:
        code = audit(config, account, mailbox, as_json=True)
        return code, json.loads(capsys.readouterr().out)

    return asked


def counts(found: dict, at: int = 0) -> dict[str, int]:
    return {
        name: value for name, value in found["mailboxes"][at].items() if isinstance(value, int) and value > 0
    }


def test_before_anything_was_fetched(audited: Audited, say) -> None:
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT, "to_fetch": COUNT})
    assert audited.client.dbsize() == 4  # nothing but the groups that the test has made


def test_all_is_well(audited: Audited, simulated, say) -> None:
    audited.fetch()
    simulated.add(5)
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT + 5, "done": COUNT, "to_fetch": 5})
    assert (found["gaps"], found["doubles"]) == (0, 0)
    assert found["verdict"] == f"no gap, no double in {COUNT + 5} mails of 1 mailbox"


def test_what_waits_and_what_is_dead_is_no_gap(audited: Audited, say) -> None:
    audited.stream.append(*range(1, COUNT + 1), account="sim")
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT, "queued": COUNT})


def test_planted_gaps_are_found(audited: Audited, say, capsys: pytest.CaptureFixture[str]) -> None:
    audited.fetch()
    audited.forget(3, 17)
    code, found = say(audited.config)
    assert (code, found["gaps"], found["doubles"]) == (1, 2, 0)
    assert counts(found) == {"mails": COUNT, "done": COUNT - 2, "gaps": 2}
    assert [each["uid"] for each in found["mailboxes"][0]["findings"]] == [3, 17]
    assert audit(audited.config, "", "", as_json=False) == 1
    said = capsys.readouterr().out
    assert f"UID 17 {audited.name(17)}: gap" in said
    assert said.splitlines()[-1].startswith("2 gaps in ")
    assert "0 mails not done: 0 to handle, 0 waiting for a retry, 0 dead letters" in said


def test_a_mail_that_was_taken_out_of_the_books_is_a_gap(audited: Audited, say) -> None:
    audited.stream.append(*range(1, COUNT + 1), account="sim")
    audited.client.srem(audited.keys.queued, audited.name(9))
    code, found = say(audited.config)
    assert (code, found["gaps"], found["stream"]["agrees"]) == (1, 1, False)


def test_what_is_older_than_the_memory_is_no_gap(audited: Audited, simulated, say) -> None:
    audited.fetch()
    audited.forget(3, 17)
    mail = simulated.mailbox.find(3)
    mail.internal_date = mail.internal_date - 91 * 86_400
    long_ago_ms = int((time.time() - 365 * 86_400) * 1000)
    audited.client.hset(audited.keys.cursor(MailboxKey("sim", "INBOX")), "since", long_ago_ms)
    code, found = say(audited.config)
    assert (code, counts(found)) == (1, {"mails": 30, "done": 28, "gaps": 1, "beyond_memory": 1})
    assert "1 of them older than the memory and not judged" in found["verdict"]


def test_an_old_mail_of_a_mailbox_that_is_followed_lately_is_a_gap(audited: Audited, simulated, say) -> None:
    audited.fetch()
    audited.forget(3)
    simulated.mailbox.find(3).internal_date = 1.5e9
    now_ms = int(time.time() * 1000)
    audited.client.hset(audited.keys.cursor(MailboxKey("sim", "INBOX")), "since", now_ms)
    code, found = say(audited.config)
    assert (code, found["gaps"]) == (1, 1)
    audited.client.set(audited.keys.forgotten, now_ms + 1)
    assert counts(say(audited.config)[1])["beyond_memory"] == 1


def test_what_was_cleared_for_maintenance_is_no_gap(audited: Audited, simulated, say) -> None:
    for mail in simulated.mailbox.mails:
        mail.internal_date = 1.7e9
    audited.fetch()
    with LedgerMemory(audited.stream.url, "", audited.stream.arguments) as memory:
        assert memory.clear() == COUNT
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT, "beyond_memory": COUNT})


def test_queued_and_done_is_a_double(audited: Audited, say, capsys: pytest.CaptureFixture[str]) -> None:
    audited.fetch()
    audited.client.sadd(audited.keys.queued, audited.name(7))
    code, found = say(audited.config)
    assert (code, found["gaps"], found["doubles"]) == (1, 0, 1)
    assert counts(found)["doubles"] == 1
    assert found["stream"]["doubles"] == [{"identity": audited.name(7), "places": [], "done": True}]
    audit(audited.config, "", "", as_json=False)
    assert "queued, though it is done" in capsys.readouterr().out


@pytest.mark.parametrize("second", ["lane", "dead", "delayed"])
def test_two_entries_of_one_mail_are_a_double(audited: Audited, say, second: str) -> None:
    stream = audited.stream
    stream.append(*range(1, COUNT + 1), account="sim")
    payload = next(entry.payload for entry in stream.entries() if audited.name(5).encode() in entry.payload)
    if second == "lane":
        audited.client.xadd(audited.keys.again, {"m": payload})
    elif second == "dead":
        audited.client.xadd(audited.keys.dead, {"m": payload, "id": audited.name(5)})
    else:
        audited.client.zadd(audited.keys.delayed, {audited.name(5): 1e15})
    code, found = say(audited.config)
    assert (code, found["doubles"], found["stream"]["agrees"]) == (1, 1, False)
    (double,) = found["stream"]["doubles"]
    assert double["identity"] == audited.name(5)
    assert {place["where"] for place in double["places"]} == {"live", "again" if second == "lane" else second}


def test_a_mail_on_its_way_is_no_double(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = audited.stream
    stream.append(1, 2, account="sim")
    with Inspection(stream.url, "", stream.arguments) as inspection:
        look = inspection._entries

        def moving() -> Iterator[tuple[str, object]]:
            yield from look()
            for entry in stream.entries():  # from live to again, as put_back does it
                audited.client.xdel(stream.keys.lanes[entry.lane], entry.id)
                audited.client.xadd(stream.keys.again, {"m": entry.payload})
            yield from look()

        monkeypatch.setattr(inspection, "_entries", moving)
        assert list(inspection.doubles()) == []


def test_a_suspect_is_looked_at_again(audited: Audited, simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    audited.fetch()
    audited.forget(3, 4)
    config = audited.config
    with Inspection.of(config) as inspection:
        auditor = mailboxes.MailboxAuditor(inspection, 90)
        compare = auditor._compare

        def and_then(found, mails) -> None:
            compare(found, mails)
            audited.client.sadd(audited.keys.queued, audited.name(3))

        monkeypatch.setattr(auditor, "_compare", and_then)
        source = Connection(config.accounts[0], 10.0, 1 << 20)
        found = auditor.run(source, MailboxKey("sim", "INBOX"))
        assert [each.uid for each in found.findings] == [4]
        assert (found.gaps, found.queued) == (1, 1)

        def and_rewind(found, mails) -> None:
            compare(found, mails)
            audited.client.hset(audited.keys.cursor(MailboxKey("sim", "INBOX")), "last_uid", 3)

        monkeypatch.setattr(auditor, "_compare", and_rewind)
        found = auditor.run(source, MailboxKey("sim", "INBOX"))
        assert (found.gaps, found.to_fetch) == (0, 1)
        source.close()


def test_a_new_uidvalidity_means_to_fetch(audited: Audited, simulated, say) -> None:
    audited.fetch()
    simulated.mailbox.uid_validity = 8
    assert counts(say(audited.config)[1]) == {"mails": COUNT, "to_fetch": COUNT}
    audited.fetch()
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT, "done": COUNT})


def test_gaps_between_uids_cost_little(
    audited: Audited, simulated, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes, "_WINDOW", 10)
    simulated.mailbox.uid_next = 3_000_000_000
    simulated.add(15)
    audited.fetch()
    before = simulated.server.server.tally
    code, found = say(audited.config)
    assert (code, counts(found)) == (0, {"mails": COUNT + 15, "done": COUNT + 15})
    assert before is simulated.server.server.tally


def test_nothing_is_changed_on_the_server(audited: Audited, simulated, say) -> None:
    audited.fetch()
    flags = [mail.flags for mail in simulated.mailbox.mails]
    say(audited.config)
    assert [mail.flags for mail in simulated.mailbox.mails] == flags


def test_one_account_or_mailbox_and_none(audited: Audited, say) -> None:
    assert say(audited.config, "sim")[0] == say(audited.config, "", "INBOX")[0] == 0
    for account, mailbox in (("other", ""), ("sim", "Other"), ("other", "INBOX")):
        with pytest.raises(ConfigError, match="sim/INBOX"):
            audit(audited.config, account, mailbox, as_json=True)


def test_what_cannot_be_reached_is_said_and_the_others_are_audited(audited: Audited, say) -> None:
    audited.fetch()
    config = audited.config
    (sim,) = config.accounts
    gone = msgspec.structs.replace(sim, name="gone", port=1)
    missing = msgspec.structs.replace(sim, mailboxes=["Missing", "INBOX"])
    config = msgspec.structs.replace(config, accounts=[gone, missing])
    code, found = say(config)
    assert code == 3
    errors = [each["error"] for each in found["mailboxes"]]
    assert "nothing listens" in errors[0]
    assert "Missing" in errors[1]
    assert (errors[2], found["mailboxes"][2]["done"]) == ("", COUNT)
    assert (
        found["verdict"]
        == f"no gap, no double in {COUNT} mails of 1 mailbox; 2 mailboxes could not be audited"
    )
    assert say(msgspec.structs.replace(config, accounts=[gone]))[1]["verdict"] == (
        "nothing is known; 1 mailbox could not be audited"
    )
    audited.forget(3)
    assert say(config)[0] == 1


def test_a_mailbox_that_is_no_more_configured_is_a_note(audited: Audited, say) -> None:
    audited.fetch()
    audited.client.hset(audited.keys.cursors + "old:Box: 1", mapping={"uid_validity": 1, "last_uid": 5})
    code, found = say(audited.config)
    assert (code, found["stream"]["not_configured"]) == (0, ["old:Box: 1"])


@pytest.mark.parametrize("names", ["gmail", "objectid"])
def test_mails_with_a_name_of_their_own(tmp_path: Path, redis_server: RedisServer, say, names: str) -> None:
    inbox, label = Mailbox("INBOX", uid_validity=7), Mailbox("Label", uid_validity=8)
    account = Account("u", "p", gmail=names == "gmail", objectid=names == "objectid")
    for mailbox in (inbox, label):
        account.add(mailbox)
        preload(mailbox, Corpus(size=500), 10, 0)
    for one, other in zip(inbox.mails, label.mails, strict=True):
        one.gm_msgid = other.gm_msgid = 1_000_000 + one.uid
        one.internal_date = other.internal_date = time.time()
    with ServerThread(ImapServer(Store([account]))) as server:
        login = 'user = "u"\npassword = "p"\ntls = "off"\nmailboxes = ["INBOX", "Label"]'
        audited = Audited(tmp_path, server.port, redis_server, account=login)
        audited.fetch()
        code, found = say(audited.config)
        assert code == 0
        assert [each["done"] for each in found["mailboxes"]] == [10, 10]
        for bucket in audited.client.scan_iter("*:known:*"):
            audited.client.delete(bucket)
        code, found = say(audited.config)
        assert (code, found["gaps"]) == (1, 20)
        kind = ":gm:" if names == "gmail" else ":oid:"
        assert kind in found["mailboxes"][0]["findings"][0]["identity"]


def test_on_dovecot(tmp_path: Path, dovecot: Dovecot, redis_server: RedisServer, say) -> None:
    with dovecot.client("audited") as client:
        for raw in odd_mails(40):
            client.append("INBOX", raw)
        login = f'user = "audited"\npassword = "{PASSWORD}"\ntls = "off"'
        audited = Audited(tmp_path, dovecot.port, redis_server, account=login)
        audited.fetch()
        client.select_folder("INBOX")
        client.delete_messages([5])
        client.expunge()
        client.append("INBOX", b"Subject: new\r\n\r\n")
        code, found = say(audited.config)
        assert (code, counts(found)) == (0, {"mails": 40, "done": 39, "to_fetch": 1})
        (place,) = audited.client.scan_iter("*:at:*")
        audited.client.srem(place, 11)
        code, found = say(audited.config)
        assert (code, [each["uid"] for each in found["mailboxes"][0]["findings"]]) == (1, [11])
        assert not any(b"\\Seen" in flags for flags in client.get_flags(client.search()).values())


def test_beside_a_running_supervisor(audited: Audited, simulated, say) -> None:
    audited.run.start()
    audited.run.wait_for_calls(COUNT)
    for _ in range(10):
        simulated.add(20)
        code, found = say(audited.config)
        assert (code, found["gaps"], found["doubles"]) == (0, 0, 0), found
        assert "beyond_memory" not in counts(found)
    audited.run.wait_for_calls(COUNT + 200)
    assert audited.run.stop() == 0
    assert counts(say(audited.config)[1]) == {"mails": COUNT + 200, "done": COUNT + 200}
