"""Our workers against a C client that sends Redis the same commands; alternating runs, medians.

Needs a C compiler and hiredis (apt install gcc libhiredis-dev). Prints a Markdown table.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.invariants import done_count
from support.redis_server import RedisServer

from fastmail_ingest.app.bench.roles import new_mails
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.simulator import Corpus
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments, source

SIZE_BYTES = 1500
FILL = 500
COUNT = 512


def run_c(program: Path, server: RedisServer, emails: int, procs: int) -> float:
    """Fill a stream, let the C client empty it, make sure that it did; returns entries a second."""
    prefix = f"c{time.monotonic_ns()}"
    keys, mailbox, mails = Keys(prefix), MailboxKey("bench", "INBOX"), Corpus(size=SIZE_BYTES)
    ledger = Ledger(server.url, "", Arguments(keys, 90))
    ledger.make_groups()
    for start in range(1, emails + 1, FILL):
        uids = range(start, start + FILL)
        believed = ledger.cursor(mailbox)
        ledger.append(Append(mailbox, new_mails(mailbox, uids, mails), Cursor(1, uids[-1]), believed))
    client = server.client()
    sha = client.script_load(source("settle"))
    socket = server.url.removeprefix("unix://")
    output = subprocess.run(
        [program, socket, keys.base, sha, str(COUNT), str(procs)], capture_output=True, check=True
    ).stdout
    if ledger.waiting() != (0, 0) or done_count(client, prefix) != emails:
        raise SystemExit("the C client left something undone")
    client.flushall()
    return float(json.loads(output)["entries_per_s"])


def run_ours(emails: int, procs: int) -> float:
    """`fastmail-ingest bench --source stream`; returns mails a second."""
    command = [
        sys.executable,
        "-m",
        "fastmail_ingest",
        "bench",
        "--source",
        "stream",
        "--size",
        str(SIZE_BYTES),
    ]
    command += ["--emails", str(emails), "--procs", str(procs), "--json"]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    return float(json.loads(output)["emails_per_s"])


def main() -> None:
    """Alternate the two, print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emails", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    words = parser.parse_args()
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not on PATH")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "c_client"
        source_file = Path(__file__).parent / "c_client.c"
        subprocess.run(["cc", "-O2", "-o", program, source_file, "-lhiredis"], check=True)
        sys.stdout.write(
            "| processes | C client, entries/s | ours, mails/s | ours / C |\n|---|---|---|---|\n"
        )
        for procs in (1, 2):
            c_runs, our_runs = [], []
            for _ in range(words.runs):
                # appendfsync everysec, as our own server has it
                server = RedisServer(binary, appendfsync="everysec")
                try:
                    c_runs.append(run_c(program, server, words.emails, procs))
                finally:
                    server.close()
                our_runs.append(run_ours(words.emails, procs))
            theirs, ours = statistics.median(c_runs), statistics.median(our_runs)
            sys.stdout.write(f"| {procs} | {theirs:,.0f} | {ours:,.0f} | {ours / theirs:.2f} |\n")


if __name__ == "__main__":
    main()
