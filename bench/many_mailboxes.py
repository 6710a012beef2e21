"""What do 200 mailboxes cost, and is each of them fresh within the sweep interval?

    python bench/many_mailboxes.py [--accounts 20] [--mailboxes 10] [--connections 3] [--poll-max 10]
                                   [--rounds 5] [--seed 1] [--json]

One producer process watches them all on the simulator. Each mailbox gets one mail, in one of the rounds, each of which
lasts three times `--poll-max`: so most are quiet when theirs comes, and looked at as rarely as may be. A delay is from
then until the handler is called. The server counts, at each login, how
many connections the account has. Mailboxes that idle at the end of the run are told apart from those that are swept.
For comparison: the memory of a producer with a single mailbox.
Needs: apt install redis-server
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apparatus
import msgspec
import psutil

from fastmail_ingest.simulator import Account, Fixed, ImapServer, Mail, Mailbox, ServerThread, Store

sys.path.insert(0, str(apparatus.ROOT / "tests"))

from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

HANDLER = """
import time


def handle(email):
    now = time.monotonic_ns()
    os.write(CALLS, f"{email.subject} {now}\\n".encode())
"""
ACCOUNT = """
[[accounts]]
name = "{name}"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "{name}"
password = "p"
mailboxes = {mailboxes}
max_connections = {connections}
"""
SECTIONS = """
[redis]
url = "{redis}"
[handler]
target = "handler_under_test:handle"
[worker]
procs = 1
[producer]
processes = 1
poll_max = {poll_max}
[logging]
format = "text"
"""
DEADLINE_S = 300.0
ROUND_IN_SWEEPS = 3.0
MIB = 1024 * 1024


class Plan(msgspec.Struct, frozen=True):
    """What is measured."""

    accounts: int
    mailboxes: int  # of each account
    connections: int  # most of each account
    poll_max_s: float
    rounds: int
    seed: int


class Delays(msgspec.Struct):
    """From a mail's arrival until the handler is called, s."""

    mailboxes: int
    mails: int
    p50: float
    p99: float
    max: float


class Measured(msgspec.Struct):
    """One run."""

    plan: Plan
    rss_mib: float
    uss_mib: float
    uss_one_mailbox_mib: float
    threads: int
    connections: int
    connections_an_account_max: int  # as counted at each login
    idling: int
    start_s: float  # until each mailbox has been taken over once
    cpu_share: float  # of one CPU, while a mail comes now and then
    delays: dict[str, Delays]


class CountingStore(Store):
    """Counts at each login how many sessions the account has then."""

    server: ImapServer
    most = 0

    def by_password(self, user: str, password: str) -> Account | None:
        account = super().by_password(user, password)
        if account is not None:
            now = sum(session.account is account for session in self.server.sessions) + 1
            self.most = max(self.most, now)
        return account


class Run:
    """One supervisor, watching the mailboxes of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = [f"box{number}" for number in range(plan.mailboxes)]
        self.accounts = [_account(f"user{number}", self.names) for number in range(plan.accounts)]
        self.store = CountingStore(self.accounts)
        self.thread = ServerThread(ImapServer(self.store))
        self.store.server = self.thread.server
        self.redis = RedisServer(apparatus.need("redis-server", "redis-server"), appendfsync="everysec")
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-many-"))
        self.sent: dict[str, int] = {}

    def __enter__(self) -> "Run":
        self.thread.__enter__()
        self.supervised = Supervised(self.directory, self.thread.port, self.redis.url, HANDLER)
        accounts = [
            ACCOUNT.format(
                name=account.user, port=self.thread.port, connections=self.plan.connections,
                mailboxes=list(account.mailboxes),
            ).replace("'", '"')
            for account in self.accounts
        ]  # fmt: skip
        sections = SECTIONS.format(redis=self.redis.url, poll_max=self.plan.poll_max_s)
        self.supervised.config.write_text("".join(accounts) + sections)
        for account in self.accounts:
            for name in self.names:
                self.send(account, name, 0)
        self.supervised.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervised.stop()
        self.thread.__exit__(None, None, None)
        self.redis.close()
        shutil.rmtree(self.directory)

    def send(self, account: Account, name: str, number: int) -> None:
        """Put a mail into a mailbox."""
        subject = f"{account.user}/{name}/{number}"
        head = f"From: a@example.com\r\nSubject: {subject}\r\n\r\n".encode()
        mail = Mail(source=Fixed(head, b"Hello.\r\n" * 100), internal_date=time.time())

        def append() -> None:
            self.sent[subject] = time.monotonic_ns()
            account.mailboxes[name].append(mail)

        self.thread.call(append)

    def wait_for_all(self) -> None:
        """Until each mail that was sent is handled."""
        wait_until(lambda: len(self._lines()) >= len(self.sent), "all are handled", DEADLINE_S)

    def delays_s(self) -> dict[str, float]:
        """By mail."""
        lines = [line.split() for line in self._lines()]
        if sorted(subject for subject, _ in lines) != sorted(self.sent):
            raise SystemExit("a mail is missing, or came twice")
        return {subject: (int(at) - self.sent[subject]) / 1e9 for subject, at in lines}

    def _lines(self) -> list[str]:
        calls = self.supervised.calls_file
        return calls.read_text().splitlines() if calls.exists() else []

    def producer(self) -> psutil.Process:
        """The one process that watches."""
        (pid,) = self.supervised.children("producer")
        return psutil.Process(pid)

    def idling(self) -> set[str]:
        """Which mailboxes are in IDLE now."""
        return {
            f"{session.account.user}/{session.mailbox.name}"
            for session in self.thread.call(lambda: list(self.thread.server.sessions))
            if session.idling and session.account is not None and session.mailbox is not None
        }


def _account(user: str, names: list[str]) -> Account:
    account = Account(user, "p")
    for number, name in enumerate(names, 1):
        account.add(Mailbox(name, uid_validity=number))
    return account


def measure(plan: Plan) -> Measured:
    """Watch, send, count."""
    with Run(msgspec.structs.replace(plan, accounts=1, mailboxes=1)) as alone:
        alone.wait_for_all()
        uss_alone = alone.producer().memory_full_info().uss
    begin = time.monotonic()
    with Run(plan) as run:
        run.wait_for_all()
        start_s = time.monotonic() - begin
        first = set(run.sent)
        idlers: Counter[str] = Counter()
        producer, cpu, begin = run.producer(), sum(run.producer().cpu_times()[:2]), time.monotonic()
        for at in _send_all(run):
            if at % 20 == 0:
                idlers.update(run.idling())
        cpu_share = (sum(producer.cpu_times()[:2]) - cpu) / (time.monotonic() - begin)
        run.wait_for_all()
        memory, threads = producer.memory_full_info(), producer.num_threads()
        connections = len(run.thread.server.sessions)
        delays = {mail: delay for mail, delay in run.delays_s().items() if mail not in first}
        most = run.store.most
    looks = max(idlers.values(), default=0)
    idle = {name for name, count in idlers.items() if count > looks / 2}
    groups: dict[str, dict[str, list[float]]] = {"IDLE": {}, "swept": {}}
    for mail, delay in delays.items():
        name = mail.rpartition("/")[0]
        groups["IDLE" if name in idle else "swept"].setdefault(name, []).append(delay)
    return Measured(
        plan, memory.rss / MIB, memory.uss / MIB, uss_alone / MIB, threads, connections, most, len(idle),
        start_s, cpu_share, {name: _delays(group) for name, group in groups.items() if group},
    )  # fmt: skip


def _delays(group: dict[str, list[float]]) -> Delays:
    values = [each for delays in group.values() for each in delays]
    return Delays(len(group), len(values), **apparatus.percentiles(values))


def _send_all(run: Run) -> Iterator[int]:
    """Each mailbox gets a mail, at a random moment of one of the rounds; yields how many were sent."""
    plan, chance = run.plan, random.Random(run.plan.seed)
    boxes = [(account, name) for account in run.accounts for name in run.names]
    chance.shuffle(boxes)
    length_s, begin = ROUND_IN_SWEEPS * plan.poll_max_s, time.monotonic()
    moments = [(number % plan.rounds + chance.random()) * length_s for number in range(len(boxes))]
    for count, (moment, (account, name)) in enumerate(sorted(zip(moments, boxes, strict=True), key=_moment)):
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        run.send(account, name, 1)
        yield count


def _moment(sending: tuple[float, tuple[Account, str]]) -> float:
    return sending[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--mailboxes", type=int, default=10)
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--poll-max", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan = Plan(
        options.accounts,
        options.mailboxes,
        options.connections,
        options.poll_max,
        options.rounds,
        options.seed,
    )
    result = measure(plan)
    rows = [
        ("producer: resident, private memory", f"{result.rss_mib:.1f}, {result.uss_mib:.1f} MiB"),
        ("... private memory with one mailbox", f"{result.uss_one_mailbox_mib:.1f} MiB"),
        ("... threads", str(result.threads)),
        ("... CPU in the rounds", f"{result.cpu_share:.1%} of one"),
        ("connections now", str(result.connections)),
        (
            f"most connections of an account (allowed: {plan.connections})",
            str(result.connections_an_account_max),
        ),
        ("mailboxes in IDLE", str(result.idling)),
        ("first sweep of all", f"{result.start_s:.2f} s"),
    ]
    for name, delays in result.delays.items():
        what = f"{name}: {delays.mailboxes} mailboxes, {delays.mails} mails, p50 / p99 / max"
        rows.append((what, f"{delays.p50:.3f} / {delays.p99:.3f} / {delays.max:.3f} s"))
    title = (
        f"{plan.accounts} accounts with {plan.mailboxes} mailboxes each, poll_max = {plan.poll_max_s:.0f} s"
    )
    apparatus.show(title, ("what", "value"), rows, result, options.json)


if __name__ == "__main__":
    main()
