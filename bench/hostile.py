"""What becomes of 100,000 hostile mails that a handler reads completely, in real workers?

    python bench/hostile.py [--mails 100000] [--seed 1] [--sound] [--json]

Made from a seed and from the kept mails of others (tests/corpora), served by the simulator in another process, through
a whole `supervise` with two workers. The handler reads and raises nothing: each mail must be handled. Times are CPU time of
the worker's thread: `parse` until subject, sender and text are there, `everything` until every property, every
attachment and the raw bytes were read. Exit code 1 if a worker died, or if a mail is a dead letter, unaccounted for or
took longer than 250 ms.

A mail can be made again by its number: `fastmail_ingest.testing.hostile_mail(seed, number, bases)`.
"""

import argparse
import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apparatus
import msgspec
import uvloop
from support.corpora import kept_mails
from support.invariants import dead_letters, done_count
from support.redis_server import RedisServer
from support.supervised import Supervised

from fastmail_ingest.simulator import Account, ImapServer, Mail, Mailbox, Store
from fastmail_ingest.simulator.mailbox import Content, split_raw
from fastmail_ingest.stream.server import find_binary
from fastmail_ingest.testing import hostile_mail, sound_mail

AIM_MS = 250.0
_DEADLINE_S = 3600.0
_DIED = re.compile(r"^.*worker \d+ \(pid \d+\) died.*$", re.MULTILINE)
_HANDLER = f"""

    import sys
    import time

    sys.path.insert(0, {str(apparatus.ROOT / "tests")!r})
    from support.everything import read_everything

    def handle(email):
        began = time.thread_time()
        email.subject, email.sender, email.text
        parsed = time.thread_time()
        read_everything(email)
        os.write(CALLS, b"%d %.6f %.6f\\n" % (email.uid, parsed - began, time.thread_time() - began))
"""


class Slowest(msgspec.Struct):
    """Milliseconds of CPU time, and the number of the mail that took the most."""

    p50: float
    p99: float
    max: float
    number: int


class Result(msgspec.Struct):
    """What became of the mails."""

    mails: int
    handled: int
    dead: dict[str, int]  # by reason and error
    dead_numbers: dict[str, list[int]]  # some of them
    worker_deaths: int
    hung: int
    unaccounted: int
    parse: Slowest
    everything: Slowest
    above_aim: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every mail was handled within the aim, and no worker died of any."""
        return not (self.worker_deaths or self.dead or self.unaccounted or self.above_aim)


def serve(mails: int, render: Callable[[int], bytes], tell: Callable[[int], None]) -> None:
    """A mailbox of mails that are made at each fetch."""

    def source(number: int) -> Content:
        return split_raw(render(number))

    async def run() -> None:
        mailbox = Mailbox("INBOX", uid_validity=7)
        account = Account("u", "p")
        account.add(mailbox)
        for number in range(mails):
            mailbox.append(Mail(source=source, number=number))
        server = ImapServer(Store([account]))
        await server.start()
        tell(server.port)
        await asyncio.Event().wait()

    uvloop.run(run())


def measure(mails: int, render: Callable[[int], bytes]) -> Result:
    """One run to its end."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fmi-bench-")))
        server = RedisServer(str(find_binary()), appendfsync="no")
        stack.callback(server.close)
        mail_server = stack.enter_context(apparatus.Aside(lambda tell: serve(mails, render, tell)))
        run = Supervised(
            directory, mail_server.port, server.url, _HANDLER, retry="attempts = 1",
            handler='target = "handler_under_test:handle"\ntimeout = 20.0', logging='level = "warning"\nformat = "text"',
        )  # fmt: skip
        stack.callback(run.close)
        began = time.monotonic()
        code = run.start("--once").wait(_DEADLINE_S)
        seconds = time.monotonic() - began
        if code:
            raise SystemExit(f"supervise: exit code {code}\n{run.text()[-3000:]}")
        client = server.client()
        dead = dead_letters(client)
        lines = [line.split() for line in run.calls_file.read_text().splitlines()]
        return _result(mails, done_count(client), dead, len(_DIED.findall(run.text())), lines, seconds)


def _result(
    mails: int,
    handled: int,
    dead: list[dict[bytes, bytes]],
    deaths: int,
    lines: list[list[str]],
    seconds: float,
) -> Result:
    why = Counter(f"{letter[b'reason'].decode()}: {letter[b'error'].decode()}" for letter in dead)
    numbers: dict[str, list[int]] = {}
    for letter in dead:
        uid = int(letter[b"id"].rpartition(b":")[2])
        numbers.setdefault(letter[b"message"].decode(errors="replace")[:200], []).append(uid - 1)
    everything = _slowest(lines, 2)
    above = sum(float(line[2]) * 1000 > AIM_MS for line in lines)
    hung = sum(letter[b"reason"] == b"hung" for letter in dead)
    return Result(
        mails, handled, dict(why), {what: some[:10] for what, some in numbers.items()}, deaths, hung,
        mails - handled - len(dead), _slowest(lines, 1), everything, above, seconds,
    )  # fmt: skip


def _slowest(lines: list[list[str]], column: int) -> Slowest:
    times = {int(line[0]) - 1: float(line[column]) * 1000 for line in lines}
    number = max(times, key=times.__getitem__)
    return Slowest(**apparatus.percentiles(list(times.values())), number=number)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sound", action="store_true", help="well-formed mails only, to compare with")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bases = [path.read_bytes() for path in kept_mails()]

    def render(number: int) -> bytes:
        if options.sound:
            return sound_mail(options.seed, number).raw
        return hostile_mail(options.seed, number, bases)

    result = measure(options.mails, render)
    rows = [
        ["handled", f"{result.handled:,}"],
        *([f"dead letter, {why}", f"{count:,}"] for why, count in sorted(result.dead.items())),
        *([f"... e.g. mails {some}", what] for what, some in result.dead_numbers.items()),
        ["unaccounted for", str(result.unaccounted)],
        ["workers that died", str(result.worker_deaths)],
        ["mails that hung", str(result.hung)],
    ]
    for what, times in (("parse", result.parse), ("everything", result.everything)):
        shown = f"p50 {times.p50:.2f}, p99 {times.p99:.1f}, max {times.max:.1f} (mail {times.number})"
        rows.append([f"{what}, ms of CPU", shown])
    rows.append([f"everything above {AIM_MS:.0f} ms", f"{result.above_aim} mails"])
    rows.append(["mails a second", f"{result.mails / result.seconds:,.0f}"])
    kind = "sound" if options.sound else "hostile"
    apparatus.show(f"{result.mails:,} {kind} mails, seed {options.seed}, two workers", ("what", "measured"), rows, result, options.json)  # fmt: skip
    if not result.ok:
        sys.exit(1)


if __name__ == "__main__":
    main()
