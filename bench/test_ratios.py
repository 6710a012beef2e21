"""How we compare with what one would use otherwise: the same mails, the same server, the same run.

Each pair differs in nothing but the side that is measured. The mail server is a process of its own, so that
its work is done in both numbers, and the interpreter of neither side is shared with it.
"""

import os
import signal
from collections.abc import Iterator

import pytest
import stdlib_reader
from imapclient import IMAPClient
from pytest_benchmark.fixture import BenchmarkFixture

from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.mime import Mail
from fastmail_ingest.simulator import Account, ImapServer, Mailbox, ServerThread, Store, mixed, preload
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.wire import WiredClient

FETCHED = 2000
ITEMS = "UID FLAGS INTERNALDATE BODY.PEEK[]"
MAX_MAIL = 1 << 26
TIMEOUT_S = 60.0
ROUNDS = {"rounds": 9, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a simulated mailbox, 18 KB mean, served by another process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _serve(writing)
        finally:
            os._exit(1)  # whatever happened: the test run is the parent's
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        yield int(told.readline())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _serve(writing: int) -> None:
    mailbox, account = Mailbox("INBOX"), Account("u", "p")
    preload(mailbox, mixed(), FETCHED)
    account.add(mailbox)
    with ServerThread(ImapServer(Store([account]))) as server:
        os.write(writing, b"%d\n" % server.port)
        signal.pause()


def test_fetch_ours(benchmark: BenchmarkFixture, port: int) -> None:
    """UID FETCH through our reader."""
    benchmark.extra_info["mails"] = FETCHED
    client = WiredClient("127.0.0.1", port, None, TIMEOUT_S, TIMEOUT_S)
    client.login("u", "p")
    client.select_folder("INBOX", readonly=True)

    def fetch() -> int:
        tag = client.send_command(f"UID FETCH 1:{FETCHED} ({ITEMS})")
        return sum(len(mail.raw or b"") for mail in read_fetch(client.wire, tag, MAX_MAIL, lambda _: None))

    assert benchmark.pedantic(fetch, **ROUNDS) > FETCHED * 10_000
    client.logout()


def test_fetch_imapclient(benchmark: BenchmarkFixture, port: int) -> None:
    """The same UID FETCH through IMAPClient.fetch."""
    benchmark.extra_info["mails"] = FETCHED
    client = IMAPClient("127.0.0.1", port, ssl=False, timeout=TIMEOUT_S)
    uids = list(range(1, FETCHED + 1))
    client.login("u", "p")
    client.select_folder("INBOX", readonly=True)

    def fetch() -> int:
        mails = client.fetch(uids, ITEMS.split())
        return sum(len(mail[b"BODY[]"]) for mail in mails.values())

    assert benchmark.pedantic(fetch, **ROUNDS) > FETCHED * 10_000
    client.logout()


@pytest.fixture(scope="module")
def raws(large_mails: list[NewMail]) -> list[bytes]:
    return [codec.decode(mail.payload).raw for mail in large_mails]


def test_mime_ours(benchmark: BenchmarkFixture, raws: list[bytes]) -> None:
    """Our parser: subject, sender and text, with its bounds and its care for charsets."""
    benchmark.extra_info["mails"] = len(raws)

    def read() -> list[tuple[str, object, str]]:
        return [(mail.head.subject, mail.head.from_, mail.text) for mail in map(Mail, raws)]

    assert len(benchmark.pedantic(read, **ROUNDS)) == len(raws)


def test_mime_stdlib(benchmark: BenchmarkFixture, raws: list[bytes]) -> None:
    """The stdlib's compat32 parser: decoded subject, sender and text/plain."""
    benchmark.extra_info["mails"] = len(raws)
    assert len(benchmark.pedantic(lambda: [stdlib_reader.read(raw) for raw in raws], **ROUNDS)) == len(raws)


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_codec_small(benchmark: BenchmarkFixture, way: str, small_mails: list[NewMail]) -> None:
    """The codec on mails of 1.5 KB."""
    payloads = [mail.payload for mail in small_mails]
    envelopes = [codec.decode(payload) for payload in payloads]
    benchmark.extra_info["mails"] = len(payloads)
    if way == "encode":
        benchmark(lambda: [codec.encode(envelope) for envelope in envelopes])
    else:
        benchmark(lambda: [codec.decode(payload) for payload in payloads])
