"""`fastmail-ingest import` of an mbox while workers handle it, and the same killed again and again. Prints Markdown.

Workers run `noop`, Redis writes its append-only file (everysec), all on this machine. The kill run uses a handler
that writes down each call.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apparatus import need  # puts the tests' support on the path
from support.invariants import assert_invariants, done_count
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.simulator import Corpus

DEADLINE_S = 600.0
NOTED = "\n\ndef handle(email):\n    note(email)\n"
_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


def write_mbox(path: Path, count: int, size: int | str) -> int:
    """Write so many mails as an mboxrd; returns its bytes."""
    mails = Corpus(size=size)
    with path.open("wb") as file:
        for number in range(count):
            raw = b"".join(mails.render(number)).replace(b"\r\n", b"\n")
            file.write(b"From x@example.org Thu Aug  4 14:46:24 2011\n" + _FROM.sub(rb">\1", raw))
            file.write(b"\n" if raw.endswith(b"\n") else b"\n\n")
    return path.stat().st_size


@contextmanager
def at_work(directory: Path, handler: str, body: str = NOTED) -> Iterator[tuple[Supervised, RedisServer]]:
    """A supervisor with workers that wait for mail, on an empty mailbox."""
    redis_server, simulated = (
        RedisServer(need("redis-server", "redis-server"), appendfsync="everysec"),
        Simulated(),
    )
    with simulated.server:
        run = Supervised(
            directory, simulated.port, redis_server.url, body, handler=f'target = "{handler}"',
            logging='level = "warning"',
        )  # fmt: skip
        run.start()
        wait_until(lambda: len(run.children("worker")) == 2, "two workers")
        yield run, redis_server
        run.stop()
    redis_server.close()


def importing(run: Supervised, path: Path) -> subprocess.Popen[bytes]:
    """An import in a process of its own."""
    command = [sys.executable, "-m", "fastmail_ingest", "import", str(path), "--json"]
    command += ["--config", str(run.config)]
    return subprocess.Popen(command, cwd=run.directory, stdout=subprocess.PIPE)


def measure(path: Path, count: int) -> tuple[float, float]:
    """Mails a second into Redis, and until all were handled."""
    with (
        tempfile.TemporaryDirectory(prefix="fmi-import-") as directory,
        at_work(Path(directory), "noop") as (
            run,
            redis_server,
        ),
    ):
        began = time.monotonic()
        out, _ = importing(run, path).communicate()
        client = redis_server.client()
        wait_until(lambda: done_count(client) == count, "all are handled", DEADLINE_S)
        handled = count / (time.monotonic() - began)
        said = json.loads(out)
        if (said["read"], said["new"], said["known"]) != (count, count, 0):
            raise SystemExit(f"of {count} mails: {said}")
        return said["mails_per_s"], handled


def kill_again_and_again(path: Path, count: int, kills: int) -> tuple[int, int]:
    """Kill the import in its middle and let it go on; returns how many mails were lost and doubled."""
    with (
        tempfile.TemporaryDirectory(prefix="fmi-import-") as directory,
        at_work(Path(directory), "handler_under_test:handle") as (run, redis_server),
    ):
        for number in range(1, kills + 1):
            process = importing(run, path)
            run.wait_for_lines(count * number // (kills + 1))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        out, _ = importing(run, path).communicate()
        client = redis_server.client()
        wait_until(lambda: done_count(client) == count, "all are handled", DEADLINE_S)
        assert_invariants(client, workers_live=True)
        if json.loads(out)["read"] == count:
            raise SystemExit("it did not go on where it was")
        calls = Counter(identity for identity, _ in run.calls())
        return count - len(calls), sum(calls.values()) - len(calls)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emails", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--size", action="append", help="mixed or bytes; may be given more than once")
    options = parser.parse_args()
    sys.stdout.write("| what | measured |\n|---|---|\n")
    for size in options.size or ["mixed", "2000"]:
        with tempfile.TemporaryDirectory(prefix="fmi-mbox-") as directory:
            path = Path(directory) / "mails.mbox"
            total = write_mbox(path, options.emails, size if size == "mixed" else int(size))
            os.sync()  # what we wrote ourselves must not slow Redis down
            rates = [measure(path, options.emails) for _ in range(options.runs)]
            into, through = ([rate[at] for rate in rates] for at in (0, 1))
            what = f"{options.emails:,} mails of {total / options.emails / 1000:.1f} KB"
            sys.stdout.write(
                f"| import of an mbox with {what}, workers at work | median {statistics.median(into):,.0f} mails/s, "
                f"worst {min(into):,.0f}; until handled {statistics.median(through):,.0f} |\n"
            )
            sys.stdout.flush()
            if options.kills:
                lost, doubled = kill_again_and_again(path, options.emails, options.kills)
                sys.stdout.write(f"| ... killed {options.kills} times | {lost} lost, {doubled} doubled |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
