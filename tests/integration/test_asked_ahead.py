"""A window asked for before its turn: every mail in its own window, whatever the server makes of it."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from support.scripted import Stage, scripted

from fastmail_ingest import config
from fastmail_ingest.errors import FetchRefused, ProtocolError, SourceUnavailable
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.simulator import Account, Corpus, ImapServer, Mailbox, ServerThread, Store, preload
from fastmail_ingest.source import ahead
from fastmail_ingest.source.mailbox import Connection

FIRST, SECOND = Window(1, 5), Window(6, 10)


@pytest.fixture(autouse=True)
def nobody_is_asked_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_in_turn", set())


def connect(port: int) -> Connection:
    account = config.Account(name="a", host="127.0.0.1", port=port, tls="off", user="u", password="p")
    connection = Connection(account, 0.5, 1 << 20)
    connection.examine("INBOX")
    return connection


@pytest.fixture
def server() -> Iterator[ServerThread[ImapServer]]:
    account = Account("u", "p")
    mailbox = account.add(Mailbox("INBOX", uid_validity=7))
    preload(mailbox, Corpus(5, 900), 10)
    with ServerThread(ImapServer(Store([account]))) as made:
        yield made


def uids(connection: Connection, window: Window, then: Window | None = None) -> list[int]:
    return [mail.uid for mail in connection.fetch(window, then)]


def test_each_mail_comes_in_its_window(server: ServerThread[ImapServer]) -> None:
    with closing(connect(server.port)) as connection:
        assert uids(connection, FIRST, SECOND) == [1, 2, 3, 4, 5]
        assert uids(connection, SECOND, Window(11, 20)) == [6, 7, 8, 9, 10]
        assert uids(connection, Window(11, 20)) == []
        assert connection.uids_above(8) == [9, 10]


def test_what_is_not_wanted_any_more_ends_the_connection(server: ServerThread[ImapServer]) -> None:
    for use in (
        lambda made: uids(made, Window(7, 9)),
        lambda made: made.look(),
        lambda made: made.uids_above(0),
        lambda made: made.examine("INBOX"),
        lambda made: made.status("Other"),
        lambda made: made.names(FIRST),
        lambda made: made.wait(0.1, 0),
    ):
        with closing(connect(server.port)) as connection:
            assert uids(connection, FIRST, SECOND) == [1, 2, 3, 4, 5]
            with pytest.raises(SourceUnavailable, match="not wanted any more"):
                use(connection)


def mail(number: int, uid: int, raw: bytes = b"x") -> bytes:
    return b"* %d FETCH (UID %d FLAGS () BODY[] {%d}\r\n%s)\r\n" % (number, uid, len(raw), raw)


def both(stage: Stage) -> tuple[bytes, bytes]:
    """Hear the two commands."""
    stage.log_in()
    stage.examine(exists=10)
    return stage.hear()[0], stage.hear()[0]


def test_a_server_may_mix_two_answers_and_end_the_second_first() -> None:
    def mixes(stage: Stage) -> None:
        first, second = both(stage)
        stage.send(
            mail(1, 1) + mail(6, 6) + mail(7, 7) + second + b" OK\r\n" + mail(2, 2) + first + b" OK\r\n"
        )
        stage.wait_for_the_end()

    with scripted(mixes) as port, closing(connect(port)) as connection:
        assert uids(connection, FIRST, SECOND) == [1, 6, 7, 2]
        assert uids(connection, SECOND) == []
        assert connection.can_idle
    assert ahead._in_turn == set()


def test_what_came_early_is_not_missed_in_its_turn_and_what_did_not_is() -> None:
    def bare(stage: Stage) -> None:
        first, second = both(stage)
        stage.send(b"* 6 FETCH (UID 6 FLAGS ())\r\n" + mail(6, 6) + b"* 7 FETCH (UID 7 FLAGS ())\r\n")
        stage.send(mail(1, 1) + first + b" OK\r\n" + second + b" OK\r\n")
        tag, command = stage.hear()
        assert b"SEARCH" in command
        stage.say(b"* SEARCH 6 7", tag + b" OK done")
        stage.wait_for_the_end()

    with scripted(bare) as port, closing(connect(port)) as connection:
        assert uids(connection, FIRST, SECOND) == [6, 1]
        with pytest.raises(FetchRefused, match="of 1 mails, as of UID 7"):
            uids(connection, SECOND)


def test_a_refusal_that_comes_early_is_told_in_its_turn() -> None:
    def refuses(stage: Stage) -> None:
        first, second = both(stage)
        stage.send(mail(6, 6) + second + b" NO [SERVERBUG] no\r\n" + mail(1, 1) + first + b" OK\r\n")
        stage.wait_for_the_end()

    with scripted(refuses) as port, closing(connect(port)) as connection:
        assert uids(connection, FIRST, SECOND) == [6, 1]
        with pytest.raises(FetchRefused):
            uids(connection, SECOND)


def test_a_tag_that_nobody_gave_is_no_answer() -> None:
    def invents(stage: Stage) -> None:
        both(stage)
        stage.send(b"ZZZZ9 OK\r\n")
        stage.wait_for_the_end()

    with (
        scripted(invents) as port,
        closing(connect(port)) as connection,
        pytest.raises(ProtocolError, match="unexpected"),
    ):
        uids(connection, FIRST, SECOND)


def test_a_doubtful_size_is_looked_at_in_turn() -> None:
    about_imap = b"Subject: IMAP\r\n\r\n)\r\n* 3 FETCH (UID 9 BODY[] {1}\r\nx"

    def play(stage: Stage) -> None:
        stage.log_in()
        stage.examine(exists=10)
        while True:
            tag, command = stage.hear()
            stage.send((mail(1, 1, about_imap) if b"FETCH 1" in command else b"") + tag + b" OK done\r\n")

    with scripted(play) as port:
        with closing(connect(port)) as connection, pytest.raises(SourceUnavailable, match="asked for alone"):
            uids(connection, FIRST, SECOND)
        with closing(connect(port)) as connection:
            assert uids(connection, FIRST, SECOND) == [1], "asked in turn now"
            assert uids(connection, SECOND) == []


def test_after_a_refusal_nothing_is_taken_for_the_answer_to_something_else() -> None:
    def refuses(stage: Stage) -> None:
        first, second = both(stage)
        stage.send(first + b" NO [SERVERBUG] no\r\n" + mail(6, 6) + second + b" OK\r\n")
        stage.wait_for_the_end()

    with scripted(refuses) as port, closing(connect(port)) as connection:
        with pytest.raises(FetchRefused):
            uids(connection, FIRST, SECOND)
        with pytest.raises(SourceUnavailable, match="not wanted any more"):
            uids(connection, Window(1, 2))
