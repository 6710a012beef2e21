"""What each stage of the data path costs by itself. `mails` in the extra info is the mails a round."""

import asyncio
import email as stdlib_email
import os
import socket
import time

import pytest
from conftest import KEY
from imapclient import IMAPClient
from pytest_benchmark.fixture import BenchmarkFixture
from support.redis_server import RedisServer

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.handler.builtin import noop
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import Entry, NewMail, Settlement
from fastmail_ingest.model.identity import content_hash, content_key
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import Cursor
from fastmail_ingest.model.mime import Mail
from fastmail_ingest.pipeline.batch import handle_inline
from fastmail_ingest.pipeline.custody import Taken
from fastmail_ingest.pipeline.guard import Guard
from fastmail_ingest.pipeline.judge import Judge
from fastmail_ingest.policy.backoff import Backoff
from fastmail_ingest.policy.retry import ErrorRules, RetryRule
from fastmail_ingest.simulator import Account, ImapServer, Mailbox, ServerThread, Store, mixed, preload
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.wire import Wire
from fastmail_ingest.stream.lanes import Lanes
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

JUDGE = Judge(
    ErrorRules(RetryRule(5, Backoff(1.0, 2.0, 60.0, 0.0))), Guard(CircuitBreaker("handler"), ["OSError"])
)
START = Cursor(1, 1)
FETCHED = 2000


def test_fetch_reader(benchmark: BenchmarkFixture) -> None:
    """The FETCH reader over loopback TCP, fed by another process: 18 KB mean."""
    benchmark.extra_info["mails"] = FETCHED
    pieces: list[bytes] = []
    corpus = mixed()
    for number, (head, body) in enumerate(map(corpus.render, range(FETCHED)), 1):
        raw = head + body
        line = b'* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE "24-Nov-2026 10:00:00 +0000" BODY[] {%d}\r\n'
        pieces += (line % (number, number, len(raw)), raw, b")\r\n")
    answer = b"".join(pieces) + b"A1 OK done\r\n"

    def connection() -> tuple[tuple[Wire], dict[str, object]]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        if os.fork() == 0:
            theirs.sendall(answer)
            os._exit(0)
        theirs.close()
        return (Wire(ours),), {}

    def read(wire: Wire) -> None:
        count = sum(1 for _ in read_fetch(wire, b"A1", 1 << 26, lambda _: None))
        os.wait()
        assert count == FETCHED

    benchmark.pedantic(read, setup=connection, rounds=15, warmup_rounds=2)


def test_fetch_by_imapclient(benchmark: BenchmarkFixture) -> None:
    """IMAPClient.fetch of the same mails from the simulator, for the ratio."""
    benchmark.extra_info["mails"] = FETCHED
    mailbox = Mailbox("INBOX")
    preload(mailbox, mixed(), FETCHED)
    account = Account("u", "p")
    account.add(mailbox)
    with ServerThread(ImapServer(Store([account]))) as server:
        client = IMAPClient("127.0.0.1", server.port, ssl=False)
        client.login("u", "p")
        client.select_folder("INBOX", readonly=True)
        items = ["UID", "FLAGS", "INTERNALDATE", "BODY.PEEK[]"]
        benchmark.pedantic(
            lambda: client.fetch(list(range(1, FETCHED + 1)), items), rounds=5, warmup_rounds=1
        )
        client.logout()


def test_encode(benchmark: BenchmarkFixture, large_mails: list[NewMail]) -> None:
    """Envelope to msgpack: 18 KB mean."""
    envelopes = [codec.decode(mail.payload) for mail in large_mails]
    benchmark.extra_info["mails"] = len(envelopes)
    benchmark(lambda: [codec.encode(envelope) for envelope in envelopes])


def test_decode(benchmark: BenchmarkFixture, large_mails: list[NewMail]) -> None:
    """Msgpack to envelope: 18 KB mean."""
    benchmark.extra_info["mails"] = len(large_mails)
    benchmark(lambda: [codec.decode(mail.payload) for mail in large_mails])


def test_content_hash(benchmark: BenchmarkFixture, large_mails: list[NewMail]) -> None:
    """SHA-256 of a mail: 18 KB mean."""
    raws = [codec.decode(mail.payload).raw for mail in large_mails]
    benchmark.extra_info["mails"] = len(raws)
    benchmark(lambda: [content_hash(raw) for raw in raws])


def test_parse(benchmark: BenchmarkFixture, large_mails: list[NewMail]) -> None:
    """MIME to subject, sender, text: 18 KB mean."""
    raws = [codec.decode(mail.payload).raw for mail in large_mails]
    benchmark.extra_info["mails"] = len(raws)
    benchmark(lambda: [_read(raw) for raw in raws])


def _read(raw: bytes) -> tuple[str, object, str]:
    mail = Mail(raw)
    return mail.head.subject, mail.head.from_, mail.text


def test_parse_by_stdlib(benchmark: BenchmarkFixture, large_mails: list[NewMail]) -> None:
    """The stdlib's compat32 parser on the same mails, structure only, for the ratio."""
    raws = [codec.decode(mail.payload).raw for mail in large_mails[:200]]
    benchmark.extra_info["mails"] = len(raws)
    benchmark.pedantic(lambda: [stdlib_email.message_from_bytes(raw) for raw in raws], rounds=5)


def test_append(benchmark: BenchmarkFixture, ledger: Ledger, large_mails: list[NewMail]) -> None:
    """append.lua: 128 new mails of 18 KB mean in a call."""
    benchmark.extra_info["mails"] = 128
    rounds = iter(range(1, 10_000))

    def fresh() -> tuple[tuple[list[NewMail]], dict[str, object]]:
        number = next(rounds)
        return ([_renamed(mail, number) for mail in large_mails[:128]],), {}

    benchmark.pedantic(
        lambda mails: ledger.append(Append(KEY, mails, START, START)), setup=fresh, rounds=40, warmup_rounds=3
    )


def _renamed(mail: NewMail, number: int) -> NewMail:
    """The same mail in another mailbox, with another content."""
    return NewMail(
        mail.identity.replace("INBOX", f"INBOX{number}"),
        content_key(str(number), mail.content_key),
        mail.payload,
    )


@pytest.mark.parametrize("stage", ["read", "settle"])
def test_lanes(
    benchmark: BenchmarkFixture, stage: str, redis_server: RedisServer, ledger: Ledger, arguments: Arguments,
    small_mails: list[NewMail],
) -> None:  # fmt: skip
    """XREADGROUP of 512 entries of 1.5 KB; settle.lua for 512 done ones."""
    benchmark.extra_info["mails"] = len(small_mails)
    loop = asyncio.new_event_loop()
    lanes = Lanes(redis_server.url, "", arguments, "bench:1")
    loop.run_until_complete(lanes.open())
    rounds = iter(range(1, 10_000))

    def fill() -> None:
        number = next(rounds)
        mails = [_renamed(mail, number) for mail in small_mails]
        ledger.append(Append(KEY, mails, START, START))

    def read() -> list[Entry]:
        return loop.run_until_complete(lanes.read(len(small_mails)))

    def taken() -> tuple[tuple[Settlement], dict[str, object]]:
        fill()
        settlement, mailbox = Settlement(), f"INBOX{time.monotonic_ns()}"
        for entry in read():
            name = codec.decode(entry.payload).id.replace("INBOX", mailbox)
            settlement.add_done(entry, name, 0.0)
        return (settlement,), {}

    if stage == "read":
        benchmark.pedantic(read, setup=fill, rounds=40, warmup_rounds=3)
    else:
        settle = lanes.settle
        benchmark.pedantic(
            lambda s: loop.run_until_complete(settle(s)), setup=taken, rounds=40, warmup_rounds=3
        )
    loop.run_until_complete(lanes.close())
    loop.close()


class Desk:
    def hold(self, cell: int, entry: Entry) -> None: ...
    def release(self, cell: int) -> None: ...


def test_handle_inline(benchmark: BenchmarkFixture, small_mails: list[NewMail]) -> None:
    """From entries to a settlement with a handler that does nothing: 512 entries of 1.5 KB."""
    benchmark.extra_info["mails"] = len(small_mails)
    entries = [Entry(Lane.LIVE, b"1-%d" % n, mail.payload) for n, mail in enumerate(small_mails)]
    benchmark(lambda: handle_inline(noop, Taken(entries, 0.0), Desk(), JUDGE, float("inf")))
