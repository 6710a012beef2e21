"""What is found at a port that is no mail server, or a bad one: one clear error, in bounded time and memory."""

import ssl
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Play, Stage, scripted

from fastmail_ingest import config
from fastmail_ingest.errors import (
    FastmailIngestError,
    LoginRefused,
    MailboxRefused,
    ProtocolError,
    SourceUnavailable,
)
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.mailbox import Connection

TIMEOUT_S = 0.5
MIB = 1024 * 1024
MEMORY_MAX = 40 * MIB  # twice the longest line


def account(port: int, **values: object) -> config.Account:
    plain = {"name": "a", "host": "127.0.0.1", "user": "u", "password": "planted-secret", "tls": "off"}
    return config.Account(**{**plain, "port": port, **values})


def use(port: int, **values: object) -> list[Fetched]:
    """All that a producer does with a connection, once."""
    with closing(Connection(account(port, **values), TIMEOUT_S, 2 * MIB)) as connection:
        state = connection.examine("INBOX")
        connection.look()
        connection.uids_above(0)
        return list(connection.fetch(Window(1, state.exists)))


@contextmanager
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX
    finally:
        tracemalloc.stop()


def banner(*lines: bytes) -> Play:
    def play(stage: Stage) -> None:
        stage.say(*lines)
        stage.wait_for_the_end()

    return play


def drip(stage: Stage) -> None:
    for byte in b"* OK hello, I am slow" * 10:
        stage.send(bytes((byte,)))
        threading.Event().wait(0.05)


def endless_line(stage: Stage) -> None:
    while True:
        stage.send(b"* OK " + b"x" * MIB)


def endless_greeting(stage: Stage) -> None:
    stage.log_in()
    stage.hear()
    while True:
        stage.send(b"* OK still here\r\n" * 4096)


def huge_literal_in_capability(stage: Stage) -> None:
    stage.say(b"* OK hello")
    stage.hear()
    stage.send(b"* CAPABILITY {4294967296}\r\n")
    stage.wait_for_the_end()


def flood_of_exists(stage: Stage) -> None:
    stage.log_in()
    stage.hear()
    while True:
        stage.send(b"* 1 EXISTS\r\n* 2 FETCH (FLAGS ())\r\n" * 2048)


def says_nothing_after_login(stage: Stage) -> None:
    stage.log_in()
    stage.wait_for_the_end()


def hangs_up_after_login(stage: Stage) -> None:
    stage.log_in()


def other_tag(stage: Stage) -> None:
    stage.log_in()
    stage.hear()
    stage.say(b"ZZZZ1 OK [READ-ONLY] done")
    stage.wait_for_the_end()


def opens_nothing(said: bytes) -> Play:
    def play(stage: Stage) -> None:
        stage.log_in()
        tag, _ = stage.hear()
        stage.say(tag + b" NO " + said)
        tag, _ = stage.hear()
        stage.say(tag + b" OK done")

    return play


def no_uidvalidity(stage: Stage) -> None:
    stage.log_in()
    tag, _ = stage.hear()
    stage.say(b"* 3 EXISTS", tag + b" OK [READ-ONLY] done")
    stage.wait_for_the_end()


def uidvalidity_that_is_no_number(stage: Stage) -> None:
    stage.log_in()
    tag, _ = stage.hear()
    stage.say(b"* 3 EXISTS", b"* OK [UIDVALIDITY nine] ok", tag + b" OK done")
    stage.wait_for_the_end()


def fetch_that_never_ends(stage: Stage) -> None:
    stage.log_in()
    stage.examine(exists=1)
    tag, _ = stage.hear()
    stage.say(tag + b" OK NOOP done")
    tag, _ = stage.hear()
    stage.say(b"* SEARCH 1", tag + b" OK SEARCH done")
    while True:
        stage.send(b"* 1 FETCH (UID 1 FLAGS ())\r\n* OK still here\r\n" * 2048)


def fetch_of(*answer: bytes) -> Play:
    def play(stage: Stage) -> None:
        stage.log_in()
        stage.examine(exists=1)
        tag, _ = stage.hear()
        stage.say(tag + b" OK NOOP done")
        tag, _ = stage.hear()
        stage.say(b"* SEARCH 1", tag + b" OK SEARCH done")
        tag, _ = stage.hear()
        stage.send(b"\r\n".join(answer).replace(b"TAG", tag))
        stage.wait_for_the_end()

    return play


NO_IMAP = {
    "login page": (banner(b"HTTP/1.1 302 Found", b"Location: http://wifi.example/login", b"", b"<html>"), ProtocolError),
    "ssh": (banner(b"SSH-2.0-OpenSSH_9.2"), ProtocolError),
    "smtp": (banner(b"220 mail.example ESMTP"), ProtocolError),
    "pop3": (banner(b"+OK POP3 ready"), ProtocolError),
    "noise": (banner(bytes(range(256)) * 8), ProtocolError),
    "bye": (banner(b"* BYE [UNAVAILABLE] come back tomorrow"), SourceUnavailable),
    "nothing": (banner(), SourceUnavailable),
    "one byte at a time": (drip, SourceUnavailable),
    "endless line": (endless_line, ProtocolError),
    "4 GB of capabilities": (huge_literal_in_capability, ProtocolError),
    "silence after login": (says_nothing_after_login, SourceUnavailable),
    "end after login": (hangs_up_after_login, SourceUnavailable),
    "flood of news": (flood_of_exists, ProtocolError),
    "endless chatter": (endless_greeting, ProtocolError),
    "no UIDVALIDITY": (no_uidvalidity, SourceUnavailable),
    "UIDVALIDITY nine": (uidvalidity_that_is_no_number, FastmailIngestError),
    "4 GB of mail": (fetch_of(b"* 1 FETCH (UID 1 BODY[] {4294967296}", b""), ProtocolError),
    "4 GB of label": (fetch_of(b"* 1 FETCH (UID 1 X-GM-LABELS ({4294967296}", b""), ProtocolError),
    "mail that ends the connection": (fetch_of(b"* 1 FETCH (UID 1 BODY[] {10}", b"abc"), SourceUnavailable),
    "FETCH without end": (fetch_that_never_ends, ProtocolError),
    "other tag": (other_tag, FastmailIngestError),
}  # fmt: skip


@pytest.mark.parametrize(("play", "error"), NO_IMAP.values(), ids=NO_IMAP)
def test_one_clear_error_and_no_secret_in_it(play: Play, error: type[FastmailIngestError]) -> None:
    with scripted(play) as port, bounded_memory(), pytest.raises(error) as raised:
        use(port)
    text = str(raised.value)
    assert text.startswith(f"account a (127.0.0.1:{port}): ") or "INBOX" in text
    assert "planted-secret" not in text
    assert len(text) < 700
    assert text.isprintable(), text


CODES = [
    b"* OK [X-UNHEARD-OF 1 2 3] some words",
    b"* NO [\xff\xfe] \x80\x81 eight bits",
    b"* OK [ALERT] the cellar is damp",
    b"* BAD [BADCHARSET ()] what?",
    b"* FLAGS ()",
    b"* 0 RECENT",
    b"* OK [PERMANENTFLAGS ()] none",
    b"* OK [HIGHESTMODSEQ 18446744073709551615] far",
    b"* OK nul \x00 in the middle",
    b"* OK",
    b'* ESEARCH (TAG "x") UID',
    b'* METADATA "INBOX" (/shared/comment {3}\r\nabc)',
]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(CODES), max_size=6), st.lists(st.sampled_from(CODES[:11]), max_size=6))
def test_untagged_responses_in_any_order_change_nothing(before: list[bytes], during: list[bytes]) -> None:
    raw = b"Subject: x\r\n\r\ny\x00\xff\r\n"

    def play(stage: Stage) -> None:
        stage.log_in(b"IMAP4rev1 X-WHAT=EVER")
        stage.examine(*before)
        for _ in range(2):
            tag, command = stage.hear()
            stage.say(*during, *([b"* SEARCH 1"] if b"SEARCH" in command else []), tag + b" OK [X-Y] done")
        while True:  # where it is not sure, it asks for one mail once more
            tag, _ = stage.hear()
            stage.say(*during, b"* 1 FETCH (FLAGS (\\Seen) UID 1 BODY[] {%d}" % len(raw))
            stage.send(raw + b")\r\n")
            stage.say(*during, tag + b" OK FETCH done")

    with scripted(play) as port:
        assert [mail.raw for mail in use(port)] == [raw]


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_noise_at_any_moment_ends_in_an_error_of_ours_or_in_nothing(noise: bytes, moment: int) -> None:
    def play(stage: Stage) -> None:
        if moment == 0:
            stage.send(noise + b"\r\n")
        stage.log_in()
        if moment == 1:
            stage.send(noise + b"\r\n")
        stage.examine()
        for step in (2, 3, 4):
            tag, _ = stage.hear()
            stage.send((noise if step == moment else b"* SEARCH") + b"\r\n" + tag + b" OK done\r\n")

    with scripted(play) as port, suppress(FastmailIngestError):
        use(port)


@pytest.fixture(scope="module")
def other_host(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A certificate for another host, and its authority, which we trust."""
    base = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=other.example",
    ]
    command += [
        "-addext",
        "subjectAltName=DNS:other.example",
        "-keyout",
        str(base / "key"),
        "-out",
        str(base / "crt"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(base / "crt", base / "key")
    return context, base / "crt"


def test_a_certificate_for_another_host_is_refused(other_host: tuple[ssl.SSLContext, Path]) -> None:
    context, authority = other_host
    with (
        scripted(Stage.log_in, context) as port,
        pytest.raises(SourceUnavailable, match="cannot be trusted") as raised,
    ):
        use(port, tls="on", tls_ca_file=str(authority))
    assert "remedy: correct host" in str(raised.value)


def test_no_tls_where_tls_is_expected_and_the_other_way_round(
    other_host: tuple[ssl.SSLContext, Path],
) -> None:
    with scripted(Stage.log_in) as port, pytest.raises(SourceUnavailable, match="remedy: check port and tls"):
        use(port, tls="on")
    with scripted(Stage.log_in, other_host[0]) as port, pytest.raises((SourceUnavailable, ProtocolError)):
        use(port)


def test_starttls_that_is_stripped_or_comes_with_data_in_the_clear_gives_no_password() -> None:
    heard: list[bytes] = []

    def stripped(stage: Stage) -> None:
        stage.say(b"* OK [CAPABILITY IMAP4rev1] hello")
        while True:
            tag, command = stage.hear()
            heard.append(command)
            stage.say(b"* CAPABILITY IMAP4rev1", tag + b" BAD no such command")

    def injected(stage: Stage) -> None:
        stage.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello")
        while True:
            tag, command = stage.hear()
            heard.append(command)
            more = b"* OK injected\r\n" if command == b"STARTTLS" else b""
            stage.send(b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b" OK done\r\n" + more)

    for play in (stripped, injected):
        with scripted(play) as port, pytest.raises(FastmailIngestError):
            use(port, tls="starttls")
    assert heard
    assert not any(b"planted-secret" in command for command in heard)


@pytest.mark.parametrize(
    "said", [b"[ALERT] Please log in via your web browser: https://x (Failure)", b"[AUTHENTICATIONFAILED] no"]
)
def test_a_login_that_needs_a_human_says_so(said: bytes) -> None:
    def play(stage: Stage) -> None:
        stage.say(b"* OK hello")
        while True:
            tag, command = stage.hear()
            stage.say(
                *(
                    [tag + b" NO " + said]
                    if command.startswith(b"LOGIN")
                    else [b"* CAPABILITY IMAP4rev1", tag + b" OK done"]
                )
            )

    with scripted(play) as port, pytest.raises(LoginRefused, match="remedy") as raised:
        use(port)
    assert "planted-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"User is authenticated but not connected.", LoginRefused),
        (b"[NOPERM] Permission denied", MailboxRefused),
    ],
)
def test_a_mailbox_that_is_not_opened_may_mean_the_whole_account(
    said: bytes, kind: type[FastmailIngestError]
) -> None:
    with scripted(opens_nothing(said)) as port, pytest.raises(kind, match="remedy: ") as told:
        use(port)
    assert f"account a (127.0.0.1:{port})" in str(told.value)
