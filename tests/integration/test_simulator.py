"""The simulated server over real sockets: with IMAPClient, and byte by byte."""

import base64
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from fastmail_ingest.simulator import (
    Account,
    Corpus,
    ImapServer,
    Mailbox,
    ServerThread,
    Store,
    mail_of,
    preload,
)
from fastmail_ingest.source.bearer import Bearer

DEADLINE_S = 20


class Raw:
    """A client without any cleverness."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.file = self.socket.makefile("rb")
        assert self.line().startswith(b"* OK [CAPABILITY IMAP4rev1")

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line without its end; empty at the end of the connection, too."""
        return self.file.readline().rstrip(b"\r\n")

    def until(self, tag: bytes) -> list[bytes]:
        lines = []
        for line in self.file:
            lines.append(line.rstrip(b"\r\n"))
            if line.startswith(tag + b" "):
                return lines
        raise AssertionError(f"the connection ended after {lines}")

    def ask(self, command: bytes) -> list[bytes]:
        self.send(b"t " + command + b"\r\n")
        return self.until(b"t")

    def answer(self, command: bytes) -> bytes:
        return self.ask(command)[-1]


@pytest.fixture
def account() -> Account:
    account = Account("user", "secret", gmail=True, token_valid=lambda token: token == "good")
    inbox = account.add(Mailbox("INBOX", uid_validity=77))
    for number in range(1, 6):
        raw = b"Subject: mail %d\r\nFrom: a@example.com\r\n\r\nbody %d\r\n" % (number, number)
        inbox.append(mail_of(raw, internal_date=86400.0 * number))
    inbox.expunge(3)
    account.add(Mailbox("[Gmail]/All Mail", special_use=r"\All"))
    return account


@pytest.fixture
def inbox(account: Account) -> Mailbox:
    return account.mailboxes["INBOX"]


@pytest.fixture
def running(account: Account) -> Iterator[ServerThread]:
    with ServerThread(ImapServer(Store([account]))) as running:
        yield running


@pytest.fixture
def client(running: ServerThread) -> Iterator[IMAPClient]:
    client = IMAPClient("127.0.0.1", running.port, ssl=False, timeout=DEADLINE_S)
    client.login("user", "secret")
    yield client
    client.shutdown()


@pytest.fixture
def stranger(running: ServerThread) -> Iterator[Raw]:
    """A raw client that has not logged in."""
    with closing(Raw(running.port)) as raw:
        yield raw


@pytest.fixture
def raw(stranger: Raw) -> Raw:
    """A raw client that has."""
    assert stranger.answer(b'LOGIN user "secret"').startswith(b"t OK")
    return stranger


# --- logging in


def test_a_wrong_password_is_refused_with_its_code(running: ServerThread) -> None:
    client = IMAPClient("127.0.0.1", running.port, ssl=False, timeout=DEADLINE_S)
    with pytest.raises(LoginError, match="AUTHENTICATIONFAILED"):
        client.login("user", "wrong")
    client.login("user", "secret")
    client.logout()
    assert (running.server.tally.logins, running.server.tally.refused_logins) == (1, 1)


def test_xoauth2_with_a_good_and_a_bad_token(running: ServerThread) -> None:
    client = IMAPClient("127.0.0.1", running.port, ssl=False, timeout=DEADLINE_S)
    client.oauth2_login("user", "good")
    client.logout()
    refused = IMAPClient("127.0.0.1", running.port, ssl=False, timeout=DEADLINE_S)
    with pytest.raises(LoginError, match="AUTHENTICATIONFAILED"):
        refused.sasl_login("XOAUTH2", Bearer("XOAUTH2", "user", "stale"))
    refused.logout()


def test_a_refused_token_is_a_challenge_first(stranger: Raw) -> None:
    token = base64.b64encode(b"user=user\x01auth=Bearer stale\x01\x01")
    stranger.send(b"a AUTHENTICATE XOAUTH2 " + token + b"\r\n")
    plus, challenge = stranger.line().split(b" ")
    assert plus == b"+"
    assert b'"status":"400"' in base64.b64decode(challenge)
    stranger.send(b"\r\n")
    assert stranger.line().startswith(b"a NO [AUTHENTICATIONFAILED]")


@pytest.mark.parametrize("at_once", [True, False])
def test_plain_with_and_without_an_initial_response(stranger: Raw, at_once: bool) -> None:
    secret = base64.b64encode(b"\0user\0secret")
    stranger.send(b"a AUTHENTICATE PLAIN" + (b" " + secret if at_once else b"") + b"\r\n")
    if not at_once:
        assert stranger.line() == b"+ "
        stranger.send(secret + b"\r\n")
    assert stranger.line().startswith(b"a OK")


def test_starttls_and_implicit_tls(account: Account, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    with ServerThread(ImapServer(Store([account]), ssl_context=context)) as running:
        client = IMAPClient("localhost", running.port, ssl=False, timeout=DEADLINE_S)
        assert client.has_capability("STARTTLS")
        client.starttls(trusting)
        client.login("user", "secret")
        assert not client.has_capability("STARTTLS")
        client.select_folder("INBOX", readonly=True)
        assert client.fetch([1], ["BODY.PEEK[TEXT]"])[1][b"BODY[TEXT]"] == b"body 1\r\n"
        client.logout()
    with ServerThread(ImapServer(Store([account]), ssl_context=context, implicit_tls=True)) as running:
        client = IMAPClient("localhost", running.port, ssl_context=trusting, timeout=DEADLINE_S)
        assert not client.has_capability("STARTTLS")
        client.login("user", "secret")
        client.logout()


# --- mailboxes


def test_list_status_and_special_use(client: IMAPClient) -> None:
    flags = {name: attributes for attributes, _delimiter, name in client.list_folders()}
    assert flags == {"INBOX": (rb"\HasNoChildren",), "[Gmail]/All Mail": (rb"\HasNoChildren", rb"\All")}
    assert client.find_special_folder(rb"\All") == "[Gmail]/All Mail"
    assert client.folder_status("INBOX", ["MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"]) == {
        b"MESSAGES": 4,
        b"UIDNEXT": 6,
        b"UIDVALIDITY": 77,
        b"UNSEEN": 4,
    }


def test_examine_tells_all_and_allows_no_change(client: IMAPClient, inbox: Mailbox) -> None:
    told = client.select_folder("INBOX", readonly=True)
    assert (told[b"EXISTS"], told[b"UIDVALIDITY"], told[b"UIDNEXT"]) == (4, 77, 6)
    assert b"READ-ONLY" in told
    with pytest.raises(IMAPClientError, match="READ-ONLY"):
        client.add_flags([1], [rb"\Seen"])
    with pytest.raises(IMAPClientError, match="READ-ONLY"):
        client.expunge([1])
    assert (len(inbox), inbox.mails[0].flags) == (4, frozenset())


def test_a_mailbox_that_is_not_there(client: IMAPClient) -> None:
    with pytest.raises(IMAPClientError, match="NONEXISTENT"):
        client.select_folder("nowhere")


# --- reading


def test_searches(client: IMAPClient, raw: Raw) -> None:
    client.select_folder("INBOX")
    assert client.search("ALL") == [1, 2, 4, 5]
    assert client.search(["UID", "2:4"]) == [2, 4]
    assert client.search(["SINCE", "05-Jan-1970"]) == [4, 5]
    client.add_flags([1, 5], [rb"\Seen"])
    assert client.search("UNSEEN") == [2, 4]
    assert client.search(["UID", "900:*"]) == [5], "n:* always holds the last mail"
    raw.ask(b"EXAMINE INBOX")
    assert raw.ask(b"UID SEARCH RETURN (MIN MAX COUNT ALL) 2:*")[0] == (
        b'* ESEARCH (TAG "t") UID MIN 2 MAX 5 COUNT 3 ALL 2,4:5'
    )
    assert raw.ask(b"UID SEARCH RETURN (MIN COUNT) UID 3")[0] == b'* ESEARCH (TAG "t") UID COUNT 0'


def test_fetch_with_all_items(client: IMAPClient) -> None:
    client.select_folder("INBOX", readonly=True)
    items = ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[]", "X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS"]
    got = client.fetch([2, 3, 4], items)
    assert sorted(got) == [2, 4]
    raw = b"Subject: mail 4\r\nFrom: a@example.com\r\n\r\nbody 4\r\n"
    assert (got[4][b"BODY[]"], got[4][b"RFC822.SIZE"], got[4][b"SEQ"]) == (raw, len(raw), 3)
    assert got[4][b"X-GM-MSGID"] == got[4][b"X-GM-THRID"] == (77 << 32) + 4
    assert got[4][b"INTERNALDATE"].timestamp() == 4 * 86400


def test_fetch_of_sections_and_parts(raw: Raw) -> None:
    raw.ask(b"EXAMINE INBOX")
    assert raw.ask(b"UID FETCH 1 BODY.PEEK[]<2.5>")[:2] == [b"* 1 FETCH (UID 1 BODY[]<2> {5}", b"bject)"]
    assert raw.ask(b"FETCH 3 (BODY.PEEK[TEXT])")[:3] == [b"* 3 FETCH (BODY[TEXT] {8}", b"body 4", b")"]
    assert raw.ask(b"UID FETCH 1 BODY.PEEK[HEADER.FIELDS (from)]")[1] == b"From: a@example.com"
    assert raw.ask(b"UID FETCH 3 (FLAGS)") == [b"t OK FETCH completed"]
    assert raw.answer(b"UID FETCH 1 (ENVELOPE)").startswith(b"t BAD")


def test_only_a_body_without_peek_in_a_selected_mailbox_sets_seen(
    running: ServerThread, raw: Raw, inbox: Mailbox
) -> None:
    raw.ask(b"SELECT INBOX")
    raw.ask(b"UID FETCH 1:* (FLAGS BODY.PEEK[])")
    raw.ask(b"EXAMINE INBOX")
    raw.ask(b"UID FETCH 1:* (BODY[])")
    assert running.server.tally.flags_set == 0
    raw.ask(b"SELECT INBOX")
    assert raw.ask(b"UID FETCH 1 (BODY[])")[0].startswith(rb"* 1 FETCH (UID 1 FLAGS (\Seen) BODY[] {")
    assert [session.flags_set for session in running.server.sessions] == [1]
    assert inbox.mails[0].flags == {r"\Seen"}


def test_a_large_mailbox_comes_whole(running: ServerThread, client: IMAPClient, inbox: Mailbox) -> None:
    corpus = Corpus(3)
    running.call(lambda: preload(inbox, corpus, 600))
    client.select_folder("INBOX", readonly=True)
    got = client.fetch(range(6, 606), ["BODY.PEEK[]"])
    assert [got[uid][b"BODY[]"] for uid in range(6, 606)] == [b"".join(corpus.render(n)) for n in range(600)]


# --- changes


def test_idle_tells_of_new_and_vanished_mails(
    running: ServerThread, client: IMAPClient, inbox: Mailbox
) -> None:
    client.select_folder("INBOX", readonly=True)
    client.idle()
    running.call(lambda: inbox.append(mail_of(b"Subject: new\r\n\r\n")))
    assert (5, b"EXISTS") in client.idle_check(DEADLINE_S)
    running.call(lambda: inbox.expunge(4))
    assert (3, b"EXPUNGE") in client.idle_check(DEADLINE_S)
    client.idle_done()
    assert client.search("ALL") == [1, 2, 5, 6]


def test_news_wait_for_a_command_that_may_tell_them(running: ServerThread, raw: Raw, inbox: Mailbox) -> None:
    raw.ask(b"EXAMINE INBOX")
    running.call(lambda: (inbox.append(mail_of(b"A: b\r\n\r\n")), inbox.expunge(1)))
    assert raw.ask(b"FETCH 1:4 (UID)")[0] == b"* 2 FETCH (UID 2)", "the numbers of a running command stand"
    assert raw.ask(b"NOOP") == [b"* 1 EXPUNGE", b"* 4 EXISTS", b"* 0 RECENT", b"t OK NOOP completed"]


def test_append_reaches_every_session(client: IMAPClient, raw: Raw, inbox: Mailbox) -> None:
    raw.ask(b"EXAMINE INBOX")
    raw.send(b"i IDLE\r\n")
    assert raw.line() == b"+ idling"
    assert b"APPENDUID 77 6" in client.append("INBOX", b"Subject: hi\r\n\r\nyes\r\n", [rb"\Flagged"])
    assert raw.line() == b"* 5 EXISTS"
    raw.send(b"DONE\r\n")
    assert raw.until(b"i")[-1] == b"i OK IDLE completed"
    raw.send(b"b APPEND INBOX {4+}\r\nA: b\r\n")
    assert raw.until(b"b")[-1].startswith(b"b OK [APPENDUID 77 7]")
    assert [(mail.uid, mail.flags) for mail in inbox.mails[-2:]] == [(6, {r"\Flagged"}), (7, frozenset())]


def test_store_and_expunge(client: IMAPClient, inbox: Mailbox) -> None:
    client.select_folder("INBOX")
    assert client.add_flags([2, 4], [rb"\Deleted"]) == {2: (rb"\Deleted",), 4: (rb"\Deleted",)}
    client.expunge([4])
    assert inbox.uids == [1, 2, 5]
    client.close_folder()
    assert inbox.uids == [1, 5]


# --- clients that misbehave


def test_pipelined_commands_are_answered_in_order(stranger: Raw) -> None:
    stranger.send(b"a LOGIN user {6+}\r\nsecret\r\nb EXAMINE INBOX\r\nc UID FETCH 1 (FLAGS)\r\nd LOGOUT\r\n")
    stranger.socket.shutdown(socket.SHUT_WR)
    starts = [line[:4] for line in stranger.file if not line.startswith(b"*")]
    assert starts == [b"a OK", b"b OK", b"c OK", b"d OK"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"t",
        b"\x00\xff\xfe",
        b"t ((((((((((((",
        b"t LOGIN )",
        b't LOGIN "',
        b"t UID",
        b"t FETCH [[[[",
        b"t LOGIN {99999}",
        b"GET / HTTP/1.1",
    ],
)
def test_garbage_is_answered_with_bad_and_harms_nobody(stranger: Raw, garbage: bytes) -> None:
    stranger.send(garbage + b"\r\n")
    assert stranger.line().split(b" ")[1] == b"BAD"
    assert stranger.answer(b"LOGIN user secret").startswith(b"t OK")


def test_states_and_unknown_commands(stranger: Raw) -> None:
    assert stranger.answer(b"SELECT INBOX") == b"t BAD log in first"
    stranger.ask(b"LOGIN user secret")
    assert stranger.answer(b"UID FETCH 1 (FLAGS)") == b"t BAD no mailbox selected"
    assert stranger.answer(b"FROBNICATE") == b"t BAD unknown command"
    assert stranger.answer(b"LIST") == b"t BAD LIST wants a reference and a pattern"
    assert stranger.answer(b"ENABLE UTF8=ACCEPT").startswith(b"t OK")
    assert stranger.answer(b'ID ("name" "test")').startswith(b"t OK")
    assert stranger.answer(b"NAMESPACE").startswith(b"t OK")


def test_an_endless_line_is_refused_and_the_connection_lives(raw: Raw) -> None:
    raw.send(b"x NOOP " + b"a" * 1_000_000 + b"\r\n")
    assert raw.line() == b"x BAD command line too long"
    assert raw.answer(b"NOOP") == b"t OK NOOP completed"


def test_a_literal_too_large_ends_the_connection(stranger: Raw) -> None:
    stranger.send(b"a LOGIN {999999999999+}\r\n")
    assert stranger.line().startswith(b"* BYE [TOOBIG]")
    assert stranger.line() == b""


def test_nothing_but_nonsense_is_shown_the_door(stranger: Raw) -> None:
    stranger.send(b"nonsense\r\n" * 20)
    assert stranger.file.read().endswith(b"* BYE too many bad commands\r\n")


def test_closing_says_bye(account: Account) -> None:
    with ServerThread(ImapServer(Store([account]))) as running:
        raw = Raw(running.port)
        raw.ask(b"NOOP")
    with closing(raw):
        assert raw.line() == b"* BYE server is shutting down"
        assert raw.line() == b""
