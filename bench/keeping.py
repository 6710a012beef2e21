"""How many mails a second do the handlers keep that write to disk, a hundred at a time and one by one?

    python bench/keeping.py [--mails 4000] [--size 1500] [--workers 1 2] [--rounds 3] [--directory D] [--json]

The handlers alone, in processes of their own, as in a batch and as in a chain: each mail is read, written and synced to
disk. Wall time from when all processes are ready to when the last has ended, so it says what workers hinder each other.
PostgreSQL runs on the same cores. What a sync costs is the disk's: name one with --directory.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apparatus
import msgspec
from support.postgres_server import PostgresServer, find_binaries
from support.stream_world import envelope

from fastmail_ingest.config.boxed_files import JsonlConfig, MaildirConfig, PostgresConfig, SqliteConfig
from fastmail_ingest.handler.jsonl import Jsonl
from fastmail_ingest.handler.maildir import Maildir
from fastmail_ingest.handler.postgres import Postgres
from fastmail_ingest.handler.sqlite import Sqlite
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.simulator import Corpus

_KEEP_DAYS = 90
_ALONE_PART = 10  # one by one, a tenth of the mails is enough
_INBOX = MailboxKey("a", "INBOX")

Make = Callable[[Path], Callable[[list[Email]], None]]


class Measured(msgspec.Struct, frozen=True):
    """Mails a second of one handler with so many workers; medians of the rounds."""

    handler: str
    workers: int
    by_hundreds: float
    alone: float


def makers(postgres: PostgresServer) -> dict[str, Make]:
    """Each handler, writing into a directory (or a table of its name)."""
    return {
        "jsonl": lambda place: Jsonl(JsonlConfig(directory=str(place)), _KEEP_DAYS),
        "sqlite": lambda place: Sqlite(SqliteConfig(path=str(place / "mails.db"))),
        "postgres": lambda place: Postgres(PostgresConfig(url=postgres.url(), table=place.name)),
        "maildir": lambda place: Maildir(MaildirConfig(directory=str(place))),
    }


def rate(make: Make, place: Path, workers: int, mails: list[Email], at_once: int) -> float:
    """Mails a second of `workers` processes that share the mails."""
    place.mkdir()
    ready, go = os.pipe(), os.pipe()
    pids = [_worker(make, place, mails[number::workers], at_once, ready[1], go) for number in range(workers)]
    os.close(go[0])
    for _ in pids:
        if os.read(ready[0], 1) != b"r":
            raise SystemExit("a worker could not begin")
    began = time.monotonic()
    os.close(go[1])
    ended = [os.waitpid(pid, 0)[1] for pid in pids]
    seconds = time.monotonic() - began
    os.close(ready[0])
    os.close(ready[1])
    if any(ended):
        raise SystemExit("a worker failed")
    return len(mails) / seconds


def _worker(
    make: Make, place: Path, mails: list[Email], at_once: int, ready: int, go: tuple[int, int]
) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        handle = make(place)
        handle.startup()  # type: ignore[attr-defined]
        os.close(go[1])
        os.write(ready, b"r")
        os.read(go[0], 1)  # its other end is closed when all are ready
        for begin in range(0, len(mails), at_once):
            handle(mails[begin : begin + at_once])
        os._exit(0)
    finally:
        os._exit(1)


def measure(options: argparse.Namespace, postgres: PostgresServer, base: Path) -> list[Measured]:
    """All handlers with all numbers of workers, by turns."""
    corpus = Corpus(size=options.size)
    mails = [
        Email(envelope(f"a:INBOX:7:{uid}", _INBOX, 7, uid, b"".join(corpus.render(uid))))
        for uid in range(options.mails)
    ]
    found: dict[tuple[str, int], tuple[list[float], list[float]]] = {}
    for number in range(options.rounds):
        for name, make in makers(postgres).items():
            for workers in options.workers:
                by_hundreds, alone = found.setdefault((name, workers), ([], []))
                place = base / f"{name}_{workers}_{number}"
                by_hundreds.append(rate(make, place, workers, mails, 100))
                few = mails[: len(mails) // _ALONE_PART]
                alone.append(rate(make, place.with_name(f"{place.name}_alone"), workers, few, 1))
    return [
        Measured(name, workers, statistics.median(by_hundreds), statistics.median(alone))
        for (name, workers), (by_hundreds, alone) in found.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=4000)
    parser.add_argument("--size", type=int, default=1500, help="bytes of a mail")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="where to write [default: the one for temporary files]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: apt install postgresql")
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="fmi-bench-", dir=options.directory)
        )
        postgres = PostgresServer(binaries)
        stack.callback(postgres.close)
        results = measure(options, postgres, Path(directory))
    rows = [
        [each.handler, str(each.workers), f"{each.by_hundreds:,.0f}", f"{each.alone:,.0f}"]
        for each in results
    ]
    header = ["handler", "workers", "a hundred at a time, mails/s", "alone, mails/s"]
    apparatus.show(f"Keeping mails of {options.size:,} bytes on disk", header, rows, results, options.json)


if __name__ == "__main__":
    main()
