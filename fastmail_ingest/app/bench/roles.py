"""The roles around the main job in a benchmark: the mail server, the filler, the referee."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence

import redis.exceptions
import uvloop

from fastmail_ingest.app.bench.plan import MAILBOX, PASSWORD, USER, BenchPlan
from fastmail_ingest.app.memory import measure_private_memory
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.errors import EXIT_OK
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key, identify
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.simulator import Account, Corpus, ImapServer, Mailbox, Store, deliver, preload
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.supervisor.slots import SlotTable, State
from fastmail_ingest.telemetry.counters import Counter

_FILL_BATCH = 500
_STALLED_S = 60.0
_LOOK_EVERY_S = 0.05
# A schedule begins when everybody is at work, and has had a moment to come to rest.
_SETTLE_DOWN_S = 0.5


def run_mail_server(plan: BenchPlan, mails: Corpus, port: int, child: Child) -> int:
    """Serve the mails; all at once, or on a schedule."""
    uvloop.run(_serve(plan, mails, port, child))
    return EXIT_OK


async def _serve(plan: BenchPlan, mails: Corpus, port: int, child: Child) -> None:
    mailbox = Mailbox(MAILBOX, uid_validity=1)
    account = Account(user=USER, password=PASSWORD)
    account.add(mailbox)
    if plan.rate is None:
        preload(mailbox, mails, plan.emails)
    server = ImapServer(Store([account]), port=port)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    child.slot.ready()
    delivery = None
    if plan.rate is not None:
        delivery = asyncio.create_task(_deliver(plan, mailbox, mails, server, child.table))
    await stop.wait()
    if delivery is not None:
        delivery.cancel()
    await server.close()


async def _deliver(
    plan: BenchPlan, mailbox: Mailbox, mails: Corpus, server: ImapServer, table: SlotTable
) -> None:
    # The producer is forked last: when it has logged in and nobody is starting, all are at work.
    while not server.tally.logins or any(slot.state is State.STARTING for slot in table):
        await asyncio.sleep(_LOOK_EVERY_S)
    await asyncio.sleep(_SETTLE_DOWN_S)
    await deliver(mailbox, mails, plan.rate or 1.0, plan.emails, time.monotonic())


def run_filler(plan: BenchPlan, mails: Corpus, runtime: Runtime, child: Child) -> int:
    """Put all mails into the stream before any worker starts, then wait to be stopped."""
    stopper = Stopper()
    signal.signal(signal.SIGTERM, lambda *_: stopper.stop())
    ledger = Ledger(runtime.redis_url, runtime.config.redis.password, runtime.arguments)
    while not stopper.stopped:
        try:
            ledger.make_groups()
            break
        except (*ledger.unavailable, redis.exceptions.ResponseError):
            stopper.wait(_LOOK_EVERY_S)
    key = MailboxKey("bench", MAILBOX)
    for start in range(1, plan.emails + 1, _FILL_BATCH):
        uids = range(start, min(start + _FILL_BATCH, plan.emails + 1))
        believed = Cursor(1, start - 1) if start > 1 else Cursor()
        ledger.append(Append(key, new_mails(key, uids, mails), Cursor(1, uids[-1]), believed))
    child.slot.ready()
    while stopper.wait(_STALLED_S):
        pass
    return EXIT_OK


def new_mails(key: MailboxKey, uids: Sequence[int], mails: Corpus) -> list[NewMail]:
    """The mails of these UIDs as a producer would append them."""
    made: list[NewMail] = []
    for uid in uids:
        raw = b"".join(mails.render(uid))
        identity = identify(key.account, key.mailbox, 1, uid)
        hashed = content_hash(raw)
        envelope = codec.Envelope(
            codec.CODEC_VERSION, identity, key.account, key.mailbox, 1, uid, (), (), "", 0.0, len(raw),
            hashed, time.time(), hashed.hex(), raw,
        )  # fmt: skip
        made.append(NewMail(identity, content_key(key.account, hashed), codec.encode(envelope)))
    return made


def run_referee(plan: BenchPlan, child: Child) -> int:
    """Show the progress; end when every mail is settled, or nothing moves any more."""
    from fastmail_ingest.app.operate.progress import progress  # noqa: PLC0415 - no other child draws

    child.slot.ready()
    with progress("mails settled", plan.emails) as bar:
        _watch(plan, child, bar)
    measure_private_memory(child.table)
    return EXIT_OK


def _watch(plan: BenchPlan, child: Child, bar: Callable[[int], None]) -> None:
    moved_at, before = time.monotonic(), 0
    outcomes = (Counter.DONE, Counter.DEAD)
    while (settled := sum(child.table.total(outcome) for outcome in outcomes)) < plan.emails:
        if settled != before:
            bar(settled - before)
            moved_at, before = time.monotonic(), settled
        elif time.monotonic() - moved_at > _STALLED_S:
            child.slot.message = (
                f"nothing was settled for {_STALLED_S:.0f} s; {settled} of {plan.emails} were"
            )
            return
        time.sleep(_LOOK_EVERY_S)
    bar(settled - before)
