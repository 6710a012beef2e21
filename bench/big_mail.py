"""How much does the producer's memory grow by one mail of 50 MB among 10,000 small ones?

    python bench/big_mail.py [--mails 10000] [--big-mb 50] [--rounds 3] [--json]

A whole `supervise` fetches from the simulator in another process, in turns with the large mail in the middle of
the mailbox and without it. `peak` is the most that was resident at any moment (VmHWM in proc(5)), `private` the
most that was seen of what no other process shares (USS, looked at every few ms). Medians of the rounds.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import apparatus
import msgspec
import psutil
import uvloop
from support.invariants import done_count
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.simulator import Account, Corpus, Fixed, ImapServer, Mail, Mailbox, Store, preload
from fastmail_ingest.stream.server import find_binary

SMALL_BYTES = 4000
MB = 1_000_000
TARGET_MB = 16
_LOOK_EVERY_S = 0.003
_DEADLINE_S = 300.0


class Peak(msgspec.Struct):
    """The most memory that a producer had, in MB."""

    peak: float = 0.0
    private: float = 0.0


class Result(msgspec.Struct):
    """Without and with the large mail; how much more the latter is."""

    without: Peak
    with_it: Peak
    grown: Peak


def serve(mails: int, big_bytes: int, tell: Callable[[int], None]) -> None:
    """A mailbox of small mails, with a large one in its middle if `big_bytes` is above 0."""

    async def run() -> None:
        mailbox, corpus = Mailbox("INBOX", uid_validity=7), Corpus(size=SMALL_BYTES)
        account = Account("u", "p")
        account.add(mailbox)
        preload(mailbox, corpus, mails // 2)
        if big_bytes:
            head, line = b"From: a@example.org\r\nSubject: big\r\n\r\n", b"all of it is one line of text\r\n"
            body = line * ((big_bytes - len(head)) // len(line))
            mailbox.append(Mail(source=Fixed(head, body)))
        preload(mailbox, corpus, mails - mails // 2, mails // 2)
        server = ImapServer(Store([account]))
        await server.start()
        tell(server.port)
        await asyncio.Event().wait()

    uvloop.run(run())


def measure(mails: int, big_bytes: int) -> Peak:
    """One run; returns the producer's peaks."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fmi-bench-")))
        server = RedisServer(str(find_binary()), appendfsync="no")
        stack.callback(server.close)
        mail_server = stack.enter_context(apparatus.Aside(lambda tell: serve(mails, big_bytes, tell)))
        run = Supervised(directory, mail_server.port, server.url, handler='target = "noop"')
        stack.callback(run.close)
        run.start()
        (pid,) = wait_until(lambda: run.children("producer"), "the producer runs")
        seen, over = Peak(), threading.Event()
        looking = threading.Thread(target=_look, args=(pid, seen, over))
        looking.start()
        client, expected = server.client(), mails + bool(big_bytes)
        wait_until(lambda: done_count(client) >= expected, "all mails are handled", _DEADLINE_S)
        over.set()
        looking.join()
        status = Path(f"/proc/{pid}/status").read_text()
        seen.peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MB
        run.stop()
    return seen


def _look(pid: int, seen: Peak, over: threading.Event) -> None:
    process = psutil.Process(pid)
    while not over.wait(_LOOK_EVERY_S):
        seen.private = max(seen.private, process.memory_full_info().uss / MB)


def main() -> None:
    """Measure in turns, print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--big-mb", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds: dict[int, list[Peak]] = {0: [], options.big_mb * MB: []}
    for _ in range(options.rounds):
        for big_bytes, peaks in rounds.items():
            peaks.append(measure(options.mails, big_bytes))
    without, with_it = (
        Peak(statistics.median(p.peak for p in peaks), statistics.median(p.private for p in peaks))
        for peaks in rounds.values()
    )
    result = Result(without, with_it, Peak(with_it.peak - without.peak, with_it.private - without.private))
    rows = [
        [what, f"{peak.peak:.1f}", f"{peak.private:.1f}"]
        for what, peak in (
            (f"{options.mails} mails of {SMALL_BYTES} bytes", without),
            (f"one of {options.big_mb} MB among them", with_it),
            (f"grown by (aim: {TARGET_MB} at the most)", result.grown),
        )
    ]
    apparatus.show("Memory of the producer, MB", ("mailbox", "peak", "private"), rows, result, options.json)


if __name__ == "__main__":
    main()
