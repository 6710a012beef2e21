"""Three days of a real `supervise`, time-scaled: is anything lost, handled twice, or seen too late?

    python bench/three_days.py [--hours 72] [--scale 200] [--seed 1] [--json] [--keep]

Everything runs at `--scale` times the speed of the clock (`time_scale.c`): supervisor, producer, workers, Redis, four
simulated accounts, the token endpoint, and the judge. 72 hours at 200 take 22 minutes; `--hours 2` is the short form.
Two accounts log in by OAuth2 tokens that last an hour (Gmail's extension, a tenth of the mails in two labels); two by
password, with fewer connections than mailboxes. What happens to them, by a schedule of the seed:

* mail, now and then, into each of twelve mailboxes;
* each day and account, the provider's limit used up for one to three hours (OVERQUOTA by NO and by BYE);
* each day and account, a connection reset, connections forgotten by a NAT, a line that carries nothing for 20 minutes;
* at random commands: resets, BYE, mails cut, answers that never come, IDLE that never tells, NO to a FETCH;
* twice, a mailbox with another UIDVALIDITY and other UIDs.

The judge looks at `<prefix>:fresh` all the time, and at each mail's way to the handler. The bound on both is what the
settings and the policies promise: poll_max, one deadline, the longest wait to reconnect, and half a second of real
time, since real work is not scaled. Excused are the outages, each until the program has proved the mailbox fresh again,
but no longer than the policy may wait to look again.
Needs: apt install redis-server gcc libc6-dev
"""

import argparse
import asyncio
import heapq
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apparatus
import msgspec
import scaled_time
import uvloop

from fastmail_ingest.app.credentials import token_file_of
from fastmail_ingest.config import Account as AccountConfig
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.policy.backoff import LIMIT_REACHED, RECONNECT
from fastmail_ingest.simulator import Account, Fault, Faults, Fixed, ImapServer, Link, Mail, Mailbox, Store
from fastmail_ingest.source.session import CONNECT_TIMEOUT_S

sys.path.insert(0, str(apparatus.ROOT / "tests"))

from support.redis_server import RedisServer
from support.supervised import Supervised
from support.token_endpoint import CLIENT_ID, TokenEndpoint

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
POLL_MAX_S = 120.0
TIMEOUT_S = 120.0
MAILS_AN_HOUR = 4.0  # and mailbox
CONNECTIONS = 2  # of an account
IN_TWO_LABELS = 0.1
FAULT_RATE = 0.002  # of all commands
HOLE_S = 20 * MINUTE_S
SLACK_REAL_S = 0.5
LOOK_EVERY_S = 20.0
LAST_WAIT_S = 6 * HOUR_S
KINDS = (
    Fault.DROP_ON_COMMAND, Fault.BYE, Fault.CUT_LITERAL, Fault.HALF_OPEN, Fault.STUCK_IDLE, Fault.NO_TO_FETCH,
)  # fmt: skip
HANDLER = """
import time


def handle(email):
    os.write(CALLS, f"{email.subject} {email.attempt} {time.time():.3f}\\n".encode())
"""
# What depends on the machine's real speed gets room; all that is about mail is as it would be, or shorter.
SECTIONS = """
[redis]
url = "{redis}"
prefix = "fmi"
[handler]
target = "handler_under_test:handle"
timeout = 86400
[worker]
procs = 1
[producer]
poll_max = {poll_max}
timeout = {timeout}
[supervisor]
short_life = 0
lease = 3600
drain_timeout = 7200
stall_timeout = 86400
[logging]
format = "text"
"""
BOXES = {"gmail": ["INBOX", "Lists"], "plain": ["INBOX", "reports", "invoices", "archive/2026"]}


class Outage(msgspec.Struct):
    """A time in which a mailbox need not be fresh; times in s since the epoch."""

    begin: float
    end: float
    until: float  # the latest at which the policy looks again; put forward when it has


class Box:
    """One mailbox as the judge sees it."""

    def __init__(self, account: "Watched", name: str) -> None:
        self.account, self.name = account, name
        self.key = f"{account.name}/{name}"
        self.outages: list[Outage] = []
        self.proved_at = 0.0  # by the program's word
        self.stalest_s = 0.0
        self.recoveries: list[float] = []

    @property
    def mailbox(self) -> Mailbox:
        """Where mail goes now."""
        return self.account.account.mailboxes[self.name]

    def age_s(self, since: float, now: float) -> float:
        """Seconds from then to now, but for the outages."""
        excused, covered = 0.0, since
        for outage in self.outages:
            start, stop = max(outage.begin, covered), min(outage.until, now)
            if stop > start:
                excused += stop - start
                covered = stop
        return max(0.0, now - since - excused)

    def look(self, proved_at: float, now: float) -> None:
        """Take note of when it was fresh last."""
        self.proved_at = proved_at
        for outage in self.outages:
            if outage.end <= proved_at < outage.until:
                self.recoveries.append(proved_at - outage.end)
                outage.until = proved_at
        if proved_at:
            self.stalest_s = max(self.stalest_s, self.age_s(proved_at, now))


class Watched:
    """One account: its server, the line to it, what goes wrong there."""

    def __init__(self, name: str, kind: str, number: int, endpoint: TokenEndpoint) -> None:
        self.name = name
        self.user = f"{name}@example.com"
        self.gmail = kind == "gmail"
        valid: Callable[[str], bool] | None = None
        if self.gmail:

            def valid(token: str) -> bool:
                user, ends = endpoint.access.get(token, ("", 0.0))
                return user == self.user and ends > time.time()

        self.account = Account(self.user, "p", gmail=self.gmail, token_valid=valid)
        self.boxes = [Box(self, box) for box in BOXES[kind]]
        for box in self.boxes:
            self.account.add(Mailbox(box.name, uid_validity=1_700_000_000 + number))
        self.faults = Faults(seed=number, rate=FAULT_RATE, kinds=KINDS)
        self.server = ImapServer(Store([self.account]), faults=self.faults)
        self.link: Link | None = None

    async def start(self) -> Link:
        """Serve, behind a line."""
        await self.server.start()
        self.link = Link(self.server.port)
        await self.link.start()
        return self.link

    @property
    def line(self) -> Link:
        """The line to the server."""
        if self.link is None:
            raise SystemExit("the account is not served yet")
        return self.link

    def begin_limit(self, chance: random.Random) -> None:
        """The provider's limit is used up; some of the open connections are told so."""
        self.faults.over_quota = True
        for session in tuple(self.server.sessions):
            if chance.random() < 0.5:
                session.send(b"* BYE [OVERQUOTA] Account exceeded command or bandwidth limits")
                session.wire.close()

    def end_limit(self) -> None:
        """A new day."""
        self.faults.over_quota = False

    def new_validity(self, box: Box) -> None:
        """Another UIDVALIDITY, other UIDs, the same mails; who has it open is cut off."""
        old = box.mailbox
        new = Mailbox(old.name, uid_validity=old.uid_validity + 1000)
        new.uid_next = 500
        for mail in old.mails:
            new.append(msgspec.structs.replace(mail, uid=0))
        self.account.add(new)
        for session in tuple(self.server.sessions):
            if session.mailbox is old:
                session.wire.reset()


class Judgement(msgspec.Struct):
    """The verdict."""

    hours: float
    scale: int
    seed: int
    real_s: float
    mails: int
    lost: int
    twice: int
    bound_s: float
    stalest_s: float  # the worst freshness outside the outages
    stale_boxes: list[str]
    slowest_mail_s: float
    late_mails: list[str]
    delay_s: dict[str, float]  # of mails that came outside the outages
    recovery_s: dict[str, float]  # after an outage, until fresh again
    events: dict[str, int]
    faults: dict[str, int]
    token_requests: int
    logins: int
    restarts: int
    exit_code: int
    complaints: list[str]

    @property
    def ok(self) -> bool:
        """Whether all is as promised."""
        breaches = self.lost or self.twice or self.stale_boxes or self.late_mails or self.exit_code
        return not (breaches or self.restarts)


class World:
    """Accounts, servers, program, schedule."""

    def __init__(self, hours: float, scale: int, seed: int) -> None:
        self.hours, self.scale, self.seed = hours, scale, seed
        self.chance = random.Random(seed)
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-days-"))
        self.endpoint = TokenEndpoint()
        os.environ.update(self.endpoint.trust)
        kinds = ("gmail", "gmail", "plain", "plain")
        self.accounts = [
            Watched(f"{kind}{number}", kind, number, self.endpoint) for number, kind in enumerate(kinds)
        ]
        self.boxes = [box for account in self.accounts for box in account.boxes]
        self.redis = RedisServer(apparatus.need("redis-server", "redis-server"), appendfsync="no")
        self.client: Any = self.redis.client()
        self.bound_s = (
            POLL_MAX_S + TIMEOUT_S + RECONNECT.cap_s * (1 + RECONNECT.jitter) + CONNECT_TIMEOUT_S
            + SLACK_REAL_S * scale
        )  # fmt: skip
        self.came: dict[str, tuple[Box, float]] = {}
        self.events: Counter[str] = Counter()
        self._agenda: list[tuple[float, int, str, Callable[[], None]]] = []
        self._numbers = iter(range(1 << 30))

    # --- the schedule ------------------------------------------------------------------------------

    def _plan(self, at: float, what: str, deed: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), what, deed))

    def plan_all(self, begin: float) -> None:
        """Write the whole agenda."""
        end = begin + self.hours * HOUR_S
        for box in self.boxes:
            at = begin
            while (at := at + self.chance.expovariate(MAILS_AN_HOUR / HOUR_S)) < end:
                self._plan(at, "mail", lambda box=box: self.mail(box))
        day_s = min(DAY_S, self.hours * HOUR_S)
        for day in range(max(1, round(self.hours * HOUR_S / DAY_S))):
            for account in self.accounts:
                self._plan_troubles(account, begin + day * day_s, day_s)
        for account in (self.accounts[0], self.accounts[2]):
            box = self.chance.choice(account.boxes)
            at = begin + self.chance.uniform(0.2, 0.8) * self.hours * HOUR_S
            self._plan(at, "UIDVALIDITY", lambda account=account, box=box: account.new_validity(box))

    def _plan_troubles(self, account: Watched, begin: float, length_s: float) -> None:
        """The troubles of a day, in a shorter run all of them shorter; none overlaps another of its account."""
        shorter = length_s / DAY_S
        slots = self.chance.sample(range(4), 4)
        starts = [begin + (slot + self.chance.uniform(0, 0.2)) * length_s / 4 for slot in slots]
        limit_s = self.chance.uniform(1, 3) * HOUR_S * shorter
        self._outage(account, starts[0], limit_s, _until_probed_s(limit_s))
        self._plan(starts[0], "limit used up", lambda: account.begin_limit(self.chance))
        self._plan(starts[0] + limit_s, "", account.end_limit)
        hole_s = max(HOLE_S * shorter, MINUTE_S)
        self._outage(account, starts[1], hole_s, self.bound_s)
        self._plan(starts[1], "no line", lambda: self._hole(account, True))
        self._plan(starts[1] + hole_s, "", lambda: self._hole(account, False))
        self._plan(starts[2], "reset", account.line.cut)
        self._plan(starts[3], "forgotten by a NAT", account.line.forget)

    def _outage(self, account: Watched, begin: float, length_s: float, again_s: float) -> None:
        for box in account.boxes:
            box.outages.append(Outage(begin, begin + length_s, begin + length_s + again_s))
            box.outages.sort(key=lambda outage: outage.begin)

    @staticmethod
    def _hole(account: Watched, wanted: bool) -> None:
        account.line.black_hole = wanted

    def mail(self, box: Box) -> None:
        """Put a mail into a mailbox; at Gmail sometimes into another label, too."""
        number = len(self.came)
        subject = f"{box.key.replace('/', '-')}-{number}"
        body = (f"Mail {number}, " + "all is well. " * self.chance.randrange(10, 2000)).encode()
        head = f"From: a@example.com\r\nSubject: {subject}\r\nMessage-ID: <{number}@x>\r\n\r\n".encode()
        now = time.time()
        mail = Mail(source=Fixed(head, body), internal_date=now, gm_msgid=1 << 60 | number)
        self.came[subject] = (box, now)
        box.mailbox.append(mail)
        if box.account.gmail and self.chance.random() < IN_TWO_LABELS:
            other = next(each for each in box.account.boxes if each is not box)
            other.mailbox.append(msgspec.structs.replace(mail, uid=0))
            self.events["in two labels"] += 1

    # --- the run -----------------------------------------------------------------------------------

    async def run(self) -> Judgement:
        """All of it."""
        for account in self.accounts:
            await account.start()
        supervised = self._configured()
        begun = time.time()
        supervised.start()
        self.plan_all(begun)
        judging = asyncio.create_task(self._look_at_freshness())
        try:
            await self._carry_out(supervised)
            for account in self.accounts:
                account.faults.quiet()
            await self._last_wait(supervised)
        finally:
            judging.cancel()
            code = await asyncio.to_thread(supervised.stop)
            self.redis.close()
            self.endpoint.close()
        for account in self.accounts:
            await account.line.close()
            await account.server.close()
        return self._judge(supervised, code, (time.time() - begun) / self.scale)

    def _configured(self) -> Supervised:
        supervised = Supervised(self.directory, 0, self.redis.url, HANDLER)
        text = "".join(self._account_section(account) for account in self.accounts)
        text += SECTIONS.format(redis=self.redis.url, poll_max=POLL_MAX_S, timeout=TIMEOUT_S)
        supervised.config.write_text(text)
        return supervised

    def _account_section(self, account: Watched) -> str:
        names = str([box.name for box in account.boxes]).replace("'", '"')
        text = (
            f'[[accounts]]\nname = "{account.name}"\nhost = "127.0.0.1"\nport = {account.line.port}\n'
            f'tls = "off"\nuser = "{account.user}"\nmailboxes = {names}\nmax_connections = {CONNECTIONS}\n'
        )
        if not account.gmail:
            return f'{text}password = "p"\n'
        client = self.endpoint.client_file(self.directory)
        self.endpoint.user = account.user
        token_file = self.directory / f"{account.name}.token.json"
        config = AccountConfig(
            name=account.name, host="127.0.0.1", port=account.line.port, tls="off", user=account.user,
            oauth_client_file=str(client), token_file=str(token_file),
        )  # fmt: skip
        refresh = self.endpoint.new_refresh_token()
        file = token_file_of(config)
        with file.locked():
            file.write(Grant(method="google", user=account.user, client_id=CLIENT_ID, refresh_token=refresh))
        return f'{text}oauth_client_file = "{client}"\ntoken_file = "{token_file}"\n'

    async def _carry_out(self, supervised: Supervised) -> None:
        hours = 0
        begun = time.time()
        while self._agenda:
            at, _, what, deed = heapq.heappop(self._agenda)
            await asyncio.sleep(max(0.0, at - time.time()))
            deed()
            if what:
                self.events[what] += 1
            if (time.time() - begun) // (6 * HOUR_S) > hours:
                hours = int((time.time() - begun) // (6 * HOUR_S))
                stalest = max(box.stalest_s for box in self.boxes)
                sys.stderr.write(f"{hours * 6} h: {len(self.came)} mails, stalest {stalest:.0f} s\n")
            if supervised.process is not None and supervised.process.poll() is not None:
                raise SystemExit(f"supervise has ended: {supervised.text()[-3000:]}")
        await asyncio.sleep(max(0.0, begun + self.hours * HOUR_S - time.time()))

    async def _look_at_freshness(self) -> None:
        keys = [box.key for box in self.boxes]
        while True:
            told = self.client.hmget("{fmi:0}:fresh", keys)
            now = time.time()
            for box, value in zip(self.boxes, told, strict=True):
                box.look(int(value or 0) / 1000, now)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _last_wait(self, supervised: Supervised) -> None:
        """Until all is handled, or nobody would wait any longer."""
        deadline = time.time() + LAST_WAIT_S
        while time.time() < deadline:
            if {line.split()[0] for line in _lines(supervised)} >= set(self.came):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    # --- the verdict -------------------------------------------------------------------------------

    def _judge(self, supervised: Supervised, code: int, real_s: float) -> Judgement:
        calls: dict[str, list[float]] = {}
        for line in _lines(supervised):
            subject, _, at = line.split()
            calls.setdefault(subject, []).append(float(at))
        waits = {
            subject: box.age_s(came_at, calls[subject][0])
            for subject, (box, came_at) in self.came.items()
            if subject in calls
        }
        quiet = [
            calls[subject][0] - came_at
            for subject, (box, came_at) in self.came.items()
            if subject in calls and not _within(box.outages, came_at, calls[subject][0])
        ]
        log = supervised.text()
        recoveries = [each for box in self.boxes for each in box.recoveries]
        struck: Counter[Fault] = sum((account.faults.struck for account in self.accounts), Counter())
        return Judgement(
            hours=self.hours,
            scale=self.scale,
            seed=self.seed,
            real_s=real_s,
            mails=len(self.came),
            lost=len(set(self.came) - set(calls)),
            twice=sum(len(times) > 1 for times in calls.values()),
            bound_s=self.bound_s,
            stalest_s=max(box.stalest_s for box in self.boxes),
            stale_boxes=[
                f"{box.key}: {box.stalest_s:.0f} s" for box in self.boxes if box.stalest_s > self.bound_s
            ],
            slowest_mail_s=max(waits.values()),
            late_mails=[f"{mail}: {wait:.0f} s" for mail, wait in waits.items() if wait > self.bound_s],
            delay_s=apparatus.percentiles(quiet),
            recovery_s=apparatus.percentiles(recoveries) if recoveries else {},
            events=dict(self.events),
            faults={fault.name: count for fault, count in struck.items()},
            token_requests=self.endpoint.count(),
            logins=sum(account.server.tally.logins for account in self.accounts),
            restarts=log.count(" died after ") + log.count("killing "),
            exit_code=code,
            complaints=[line for line in log.splitlines() if "ERROR" in line or "Traceback" in line][:20],
        )


def _until_probed_s(limit_s: float) -> float:
    """How long after such an outage the account may still be left alone.

    The waits double. Each of the connections may count the refusal once when it begins; the last wait began within
    the outage, so that all before it together are not longer than that.
    """
    policy = LIMIT_REACHED
    shortest, longest = 1 - policy.jitter, 1 + policy.jitter
    last_s = limit_s / shortest + policy.first_s * policy.multiplier ** (CONNECTIONS - 1)
    return min(last_s, policy.cap_s) * longest


def _lines(supervised: Supervised) -> list[str]:
    calls = supervised.calls_file
    return calls.read_text().splitlines() if calls.exists() else []


def _within(outages: list[Outage], begin: float, end: float) -> bool:
    return any(outage.begin < end and begin < outage.until for outage in outages)


def main() -> None:
    """Run and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--scale", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the log")
    options = parser.parse_args()
    scaled_time.enter(options.scale)
    world = World(options.hours, options.scale, options.seed)
    result = uvloop.run(world.run())
    if options.keep or not result.ok:
        sys.stderr.write(f"log and configuration: {world.directory}\n")
    else:
        shutil.rmtree(world.directory)
    rows = [
        (name, ", ".join(f"{key} {_short(each)}" for key, each in value.items()) if isinstance(value, dict)
         else "; ".join(value) if isinstance(value, list) else _short(value))
        for name, value in msgspec.structs.asdict(result).items()
    ]  # fmt: skip
    title = f"{options.hours:.0f} hours at {options.scale} times: {'as promised' if result.ok else 'NOT AS PROMISED'}"
    apparatus.show(title, ("what", "value"), rows, result, options.json)
    raise SystemExit(0 if result.ok else 1)


def _short(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
