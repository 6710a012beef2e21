"""What a client sees of each fault, byte by byte; and that without faults all is as it was."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

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

DEADLINE_S = 20
RAWS = [b"Subject: %d\r\n\r\n%s\r\n" % (number, b"word " * 50) for number in range(1, 9)]


@pytest.fixture
def inbox() -> Mailbox:
    mailbox = Mailbox("INBOX", uid_validity=7)
    for raw in RAWS:
        mailbox.append(mail_of(raw))
    return mailbox


@pytest.fixture
def faults() -> Faults:
    return Faults(3, drip_s=0.0)


@pytest.fixture
def running(inbox: Mailbox, faults: Faults) -> Iterator[ServerThread]:
    account = Account("u", "p")
    account.add(inbox)
    with ServerThread(ImapServer(Store([account]), faults=faults)) as running:
        yield running


class Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.ask(b"LOGIN u p")
        self.ask(b"EXAMINE INBOX")

    def send(self, line: bytes) -> None:
        self.socket.sendall(line + b"\r\n")

    def ask(self, command: bytes) -> bytes:
        """All that comes, up to the tagged answer or to the end of the connection."""
        self.send(b"t " + command)
        return self.rest(b"t ")

    def rest(self, tag: bytes) -> bytes:
        lines = []
        for line in self.file:
            lines.append(line)
            if line.startswith(tag):
                break
        return b"".join(lines)

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def client(running: ServerThread) -> Iterator[Client]:
    with closing(Client(running.port)) as client:
        yield client


FETCH = b"UID FETCH 1:* (FLAGS BODY.PEEK[])"


@pytest.fixture
def honest(client: Client) -> bytes:
    return client.ask(FETCH)


def test_a_server_with_faults_that_do_not_strike_is_honest(honest: bytes) -> None:
    assert [honest.count(raw) for raw in RAWS] == [1] * len(RAWS)
    assert honest.endswith(b"t OK FETCH completed\r\n")


def test_cut_literal_ends_within_a_mail(client: Client, faults: Faults, honest: bytes) -> None:
    faults.arm(Fault.CUT_LITERAL)
    got = client.ask(FETCH)
    assert honest.startswith(got)
    assert not got.endswith(b")\r\n")
    assert faults.struck == {Fault.CUT_LITERAL: 1}


def test_bye_in_a_fetch_comes_between_two_mails(client: Client, faults: Faults, honest: bytes) -> None:
    faults.arm(Fault.BYE)
    got = client.ask(FETCH)
    before, bye, rest = got.partition(b"* BYE ")
    assert honest.startswith(before)
    assert (bye, rest[-2:]) == (b"* BYE ", b"\r\n")


def test_bye_while_idling(client: Client, faults: Faults) -> None:
    faults.arm(Fault.BYE)
    got = client.ask(b"IDLE")
    assert got.startswith(b"+ idling\r\n* BYE ")


@pytest.mark.parametrize("command", [b"NOOP", FETCH, b"UID SEARCH ALL", b"IDLE"])
def test_throttled_commands(client: Client, faults: Faults, command: bytes) -> None:
    faults.arm(Fault.THROTTLE, variant="no")
    assert client.ask(command).startswith(b"t NO [THROTTLED] ")
    faults.arm(Fault.THROTTLE, variant="bye")
    assert client.ask(command).startswith(b"* BYE [UNAVAILABLE] ")


def test_an_answer_that_drips_is_honest_and_never_ends(client: Client, faults: Faults, honest: bytes) -> None:
    faults.arm(Fault.THROTTLE, variant="drip")
    client.send(b"t " + FETCH)
    assert client.file.read(len(honest) + 1000).startswith(honest.removesuffix(b"t OK FETCH completed\r\n"))


def test_a_stuck_idle_tells_nothing_and_a_noop_does(
    running: ServerThread, client: Client, faults: Faults, inbox: Mailbox
) -> None:
    faults.arm(Fault.STUCK_IDLE)
    client.send(b"i IDLE")
    assert client.file.readline() == b"+ idling\r\n"
    running.call(lambda: inbox.append(mail_of(b"Subject: new\r\n\r\n")))
    client.send(b"DONE")
    assert client.file.readline() == b"i OK IDLE completed\r\n"
    assert client.ask(b"NOOP").startswith(b"* 9 EXISTS\r\n")


@pytest.mark.parametrize("variant", ["at once", "within"])
def test_half_open_says_no_more_and_stays(
    running: ServerThread, client: Client, faults: Faults, honest: bytes, variant: str
) -> None:
    faults.arm(Fault.HALF_OPEN, variant=variant)
    client.send(b"t " + FETCH)
    client.send(b"n NOOP")
    # The end of our sending is the only thing that such a server answers to: by hanging up.
    client.socket.shutdown(socket.SHUT_WR)
    got = client.file.read()
    assert honest.startswith(got)
    assert (got == b"") == (variant == "at once")


@pytest.mark.parametrize("variant", ["larger", "smaller", "endless"])
def test_a_wrong_size_and_nothing_else_is_wrong(
    client: Client, faults: Faults, honest: bytes, variant: str
) -> None:
    faults.arm(Fault.WRONG_SIZE, variant=variant)
    got = client.ask(FETCH)
    sizes = re.compile(rb"\{(\d+)\}")
    assert sizes.sub(b"{}", got) == sizes.sub(b"{}", honest)
    true, told = map(int, sizes.findall(honest)), map(int, sizes.findall(got))
    off = [b - a for a, b in zip(true, told, strict=True) if a != b]
    assert len(off) == 1
    assert (off[0] < 0) == (variant == "smaller")
    assert (off[0] > 1 << 30) == (variant == "endless")


def test_expunge_race_removes_for_good_and_only_what_was_never_sent(
    client: Client, faults: Faults, inbox: Mailbox
) -> None:
    client.ask(b"UID FETCH 1:3 (BODY.PEEK[])")
    faults.arm(Fault.EXPUNGE_RACE, 2)
    got = client.ask(FETCH)
    assert faults.expunged
    assert {uid for _, uid in faults.expunged} == set(range(1, 9)) - set(inbox.uids)
    assert {uid for _, uid in faults.expunged} <= set(range(4, 9))
    assert [raw in got for raw in RAWS] == [uid in inbox.uids for uid in range(1, 9)]
    assert b"t OK" in got
    assert b" EXPUNGE\r\n" in got
    client.ask(FETCH)
    assert faults.armed == 1, "there is no mail any more that was never asked for"


def test_split_tells_the_same_and_more(client: Client, faults: Faults, honest: bytes) -> None:
    faults.arm(Fault.SPLIT)
    got = client.ask(FETCH)
    assert [got.count(raw) for raw in RAWS] == [1] * len(RAWS)
    assert len(got) > len(honest)
    assert got.endswith(b"t OK FETCH completed\r\n")


@pytest.mark.parametrize("variant", ["at once", "within"])
def test_no_to_fetch_leaves_the_connection_good(
    client: Client, faults: Faults, honest: bytes, variant: str
) -> None:
    faults.arm(Fault.NO_TO_FETCH, variant=variant)
    before, _, answer = client.ask(FETCH).partition(b"t NO ")
    assert honest.startswith(before)
    assert answer.startswith(b"[SERVERBUG]")
    assert client.ask(FETCH) == honest


def test_drop_on_command_is_a_reset(client: Client, faults: Faults) -> None:
    faults.arm(Fault.DROP_ON_COMMAND)
    with pytest.raises(ConnectionResetError):
        client.ask(b"NOOP")


def test_faults_of_a_fetch_wait_for_one_that_they_fit(client: Client, faults: Faults, inbox: Mailbox) -> None:
    faults.arm(Fault.CUT_LITERAL)
    assert client.ask(b"NOOP") == b"t OK NOOP completed\r\n"
    assert client.ask(b"UID FETCH 100:200 (BODY.PEEK[])").startswith(b"t OK")
    assert b"t OK" in client.ask(b"UID FETCH 1 (FLAGS)")
    client.ask(b"SELECT INBOX")
    assert rb"FLAGS (\Seen)" in client.ask(b"UID FETCH 1 (BODY[])"), "what changes flags is done honestly"
    assert faults.armed == 1
    assert inbox.mails[0].flags == {r"\Seen"}
