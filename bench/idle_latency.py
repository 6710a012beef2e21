"""How soon after a mail has come is the handler called, when the server wakes us by IDLE?

    python bench/idle_latency.py [--mails 120] [--mean-gap 0.5] [--seed 1] [--server dovecot|simulator|both] [--importing N] [--json]

Mails are appended over IMAP, one at a time, at random moments (exponential gaps), to a real Dovecot and to the
simulator, each in a process of its own. A latency is from the OK to the APPEND until the handler's first line; if the
handler is quicker than the OK, it is negative. Dovecot itself tells of a mail about half a second after it has come.
With `--importing`, an mbox of so many mails of 18 KB is imported meanwhile, into the backfill lane.
Needs: apt install redis-server dovecot-imapd
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apparatus
import msgspec
from imapclient import IMAPClient
from import_mbox import importing, write_mbox

sys.path.insert(0, str(apparatus.ROOT / "tests"))

from support.dovecot import PASSWORD, Dovecot
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

NUMBER = "X-Bench-Number"
HANDLER = f"""
import time


def handle(email):
    now = time.time_ns()
    if number := email.header({NUMBER!r}):
        os.write(CALLS, f"{{number}} {{now}}\\n".encode())
"""
MAIL = "From: a@example.com\r\nSubject: {number}\r\n" + NUMBER + ": {number}\r\n\r\n" + "Hello.\r\n" * 200
TARGETS_MS = {"dovecot": 1000.0, "simulator": 50.0}


class Measured(msgspec.Struct):
    """Latencies on one server, ms."""

    server: str
    mails: int
    p50: float
    p99: float
    max: float


@contextmanager
def dovecot() -> Iterator[tuple[int, str, str]]:
    """A Dovecot; yields port, user and password."""
    server = Dovecot(apparatus.need("dovecot", "dovecot-imapd"))
    try:
        yield server.port, "idler", PASSWORD
    finally:
        server.close()


@contextmanager
def simulator() -> Iterator[tuple[int, str, str]]:
    """A simulated mail server; yields port, user and password."""
    words = [sys.executable, "-m", "fastmail_ingest.simulator", "--port", "0", "--emails", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        told = dict(process.stdout.readline().split() for _ in range(2)) if process.stdout else {}
        yield int(told["port"]), "demo", "demo"
    finally:
        process.kill()
        process.wait()


@contextmanager
def old_mail(supervised: Supervised, directory: Path, count: int) -> Iterator[None]:
    """Import an mbox meanwhile; fails if that ended too early to have been in the way."""
    if not count:
        yield
        return
    archive = directory / "old.mbox"
    write_mbox(archive, count, 18_000)
    process = importing(supervised, archive)
    yield
    if process.poll() is not None:
        raise SystemExit("the import ended before the mails did: import more")
    process.terminate()
    process.wait()


SERVERS = {"dovecot": dovecot, "simulator": simulator}


def measure(name: str, plan: tuple[int, float, int], backlog: int) -> Measured:
    """Append mails (how many, mean gap in s, seed) and wait for the handler; `backlog` mails are imported."""
    redis = RedisServer(apparatus.need("redis-server", "redis-server"), appendfsync="everysec")
    directory = Path(tempfile.mkdtemp(prefix="fmi-idle-"))
    try:
        with SERVERS[name]() as (port, user, password):
            account = f'user = "{user}"\npassword = "{password}"\ntls = "off"'
            supervised = Supervised(directory, port, redis.url, HANDLER, account=account)
            supervised.start()
            try:
                with old_mail(supervised, directory, backlog):
                    latencies = _append(supervised, (port, user, password), plan)
            finally:
                supervised.stop()
    finally:
        redis.close()
    shutil.rmtree(directory)
    return Measured(name, plan[0], **apparatus.percentiles([each / 1e6 for each in latencies]))


def _append(supervised: Supervised, login: tuple[int, str, str], plan: tuple[int, float, int]) -> list[int]:
    """The latency of each mail in ns."""
    (port, user, password), (mails, mean_gap_s, seed) = login, plan
    client = IMAPClient("127.0.0.1", port, ssl=False)
    client.login(user, password)
    client.append("INBOX", MAIL.format(number="warm-up").encode())
    supervised.wait_for_lines(1)
    chance, appended = random.Random(seed), {}
    for number in range(mails):
        time.sleep(chance.expovariate(1 / mean_gap_s))
        client.append("INBOX", MAIL.format(number=number).encode())
        appended[str(number)] = time.time_ns()
    wait_until(lambda: len(supervised.calls_file.read_text().splitlines()) > mails, "all mails are handled")
    called = [line.split() for line in supervised.calls_file.read_text().splitlines()[1:]]
    if sorted(number for number, _ in called) != sorted(appended):
        raise SystemExit("a mail is missing, or came twice")
    client.logout()
    return [int(at) - appended[number] for number, at in called]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=120)
    parser.add_argument("--mean-gap", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=[*SERVERS, "both"], default="both")
    parser.add_argument("--importing", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = list(SERVERS) if options.server == "both" else [options.server]
    plan = options.mails, options.mean_gap, options.seed
    results = [measure(name, plan, options.importing) for name in names]
    rows = [
        (
            each.server, str(each.mails), f"{each.p50:.1f}", f"{each.p99:.1f}", f"{each.max:.1f}",
            f"p99 <= {TARGETS_MS[each.server]:.0f}",
        )
        for each in results
    ]  # fmt: skip
    header = ("server", "mails", "p50 ms", "p99 ms", "max ms", "target")
    apparatus.show("APPEND's OK to the handler's call, under IDLE", header, rows, results, options.json)


if __name__ == "__main__":
    main()
