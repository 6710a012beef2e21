"""How many mails a second reach a webhook that takes 20 ms to answer, with two workers?

    python bench/webhook.py [--mails 20000] [--answer-ms 20] [--concurrency 16] [--workers 2] [--rounds 3] [--json]

A whole `supervise` with the handler `webhook` fetches from the simulator; simulator and sink are processes of their
own on the same cores. The rate is over the requests from the first to the last; each mail must come exactly once.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import apparatus
import msgspec
import uvloop
from support.invariants import done_count
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.simulator import Account, Corpus, ImapServer, Mailbox, Store, mixed, preload
from fastmail_ingest.stream.server import find_binary

TARGET_PER_S = 1000
_DEADLINE_S = 300.0
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Options(msgspec.Struct, frozen=True):
    """What is measured."""

    mails: int
    answer_ms: float
    concurrency: int
    workers: int
    size: int  # bytes of a mail; 0: mixed, 18 KB mean


class Result(msgspec.Struct, frozen=True):
    """One run; `bound_per_s` is what so many requests at once of that duration allow at the most."""

    mails_per_s: float
    bound_per_s: float
    worker_us_per_mail: float


class Sink(asyncio.Protocol):
    """Answers each POST after a while; a GET gets the counts."""

    seen: ClassVar[Counter[str]] = Counter()
    first_s = last_s = 0.0
    answer_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET"):
            told = json.dumps([len(Sink.seen), Sink.seen.total(), Sink.first_s, Sink.last_s]).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
            self._received = b""
            return
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(headers[b"content-length"]):
            return
        self._received = b""
        Sink.first_s = Sink.first_s or time.monotonic()
        Sink.seen[headers[b"webhook-id"].decode()] += 1
        asyncio.get_running_loop().call_later(Sink.answer_s, self._answer)

    def _answer(self) -> None:
        Sink.last_s = time.monotonic()
        self._transport.write(_ANSWER)


def serve_sink(answer_ms: float, tell: Callable[[int], None]) -> None:
    """The sink, for ever."""

    async def run() -> None:
        Sink.answer_s = answer_ms / 1000
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=1024)
        tell(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(run())


def serve_mails(count: int, size: int, tell: Callable[[int], None]) -> None:
    """A mailbox with so many mails, for ever."""

    async def run() -> None:
        mailbox, account = Mailbox("INBOX", uid_validity=7), Account("u", "p")
        account.add(mailbox)
        preload(mailbox, Corpus(size=size) if size else mixed(), count)
        server = ImapServer(Store([account]))
        await server.start()
        tell(server.port)
        await asyncio.Event().wait()

    uvloop.run(run())


def measure(options: Options) -> Result:
    """One run; a mail that is missing or came twice ends the bench."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fmi-bench-")))
        redis = RedisServer(str(find_binary()), appendfsync="no")
        stack.callback(redis.close)
        sink = stack.enter_context(apparatus.Aside(lambda tell: serve_sink(options.answer_ms, tell)))
        mails = stack.enter_context(
            apparatus.Aside(lambda tell: serve_mails(options.mails, options.size, tell))
        )
        secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        run = Supervised(
            directory, mails.port, redis.url, handler=f'target = "webhook"\nconcurrency = {options.concurrency}',
            worker=f"procs = {options.workers}",
            webhook=f'url = "http://127.0.0.1:{sink.port}/"\nsecret = "{secret}"\nallow_private = true',
        )  # fmt: skip
        stack.callback(run.close)
        run.start()
        client = redis.client()
        wait_until(lambda: done_count(client) >= options.mails, "all mails are handled", _DEADLINE_S)
        cpu_s = sum(apparatus.cpu_s(pid) for pid in run.children("worker"))
        with urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/") as answer:
            came, requests, first_s, last_s = json.loads(answer.read())
        run.stop()
    if (came, requests) != (options.mails, options.mails):
        raise SystemExit(f"{options.mails} mails, but {came} came, in {requests} requests")
    bound = options.workers * options.concurrency / (options.answer_ms / 1000)
    return Result(options.mails / (last_s - first_s), bound, cpu_s / options.mails * 1e6)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--answer-ms", type=float, default=20.0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=0, help="bytes of a mail; 0: mixed, 18 KB mean")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = Options(given.mails, given.answer_ms, given.concurrency, given.workers, given.size)
    results = [measure(options) for _ in range(given.rounds)]
    rates = sorted(result.mails_per_s for result in results)
    row = [
        f"{options.workers} x {options.concurrency}",
        f"{statistics.median(rates):,.0f}",
        f"{rates[0]:,.0f}",
        f"{results[0].bound_per_s:,.0f}",
        f"{statistics.median(result.worker_us_per_mail for result in results):,.0f}",
        f"{TARGET_PER_S:,}",
    ]
    header = ["workers x concurrency", "mails/s", "worst", "bound", "worker CPU a mail, us", "target"]
    apparatus.show(f"Webhook, {options.answer_ms:g} ms an answer", header, [row], results, given.json)


if __name__ == "__main__":
    main()
