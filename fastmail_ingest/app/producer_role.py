"""A producer process: one thread for each connection to a mail server."""

import logging
import signal
import threading
import time
from collections.abc import Sequence

from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.config import Account
from fastmail_ingest.errors import EXIT_OK
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.producer import Watcher, WatchPlan
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.policy.polling import PollPace
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.supervisor.slots import Slot
from fastmail_ingest.telemetry import logs
from fastmail_ingest.telemetry.counters import Counter

# A thread may be waiting for a mail server that does not answer; all it does may be done again.
STOP_WAIT_S = 1.0
_log = logging.getLogger(__name__)


def connections(accounts: Sequence[Account]) -> list[tuple[Account, list[str]]]:
    """Which mailboxes share a connection: each has its own as far as `max_connections` allows."""
    dealt: list[tuple[Account, list[str]]] = []
    for account in accounts:
        count = min(len(account.mailboxes), account.max_connections)
        dealt += [(account, list(account.mailboxes[start::count])) for start in range(count)]
    return dealt


def run_producer(runtime: Runtime, child: Child, processes: int) -> int:
    """The whole life of one of `processes` producer processes; returns its exit code."""
    logs.set_component(f"producer-{child.number}")
    stopper = Stopper()
    signal.signal(signal.SIGTERM, lambda *_: stopper.stop())
    ledger = Ledger(runtime.redis_url, runtime.config.redis.password, runtime.arguments)
    ours = connections(runtime.config.accounts)[child.number :: processes]
    threads = [
        threading.Thread(
            target=_watch,
            args=(_watcher(runtime, child.slot, stopper, ledger, account, mailboxes), account),
            name=f"{account.name}/{mailboxes[0]}",
            daemon=True,
        )
        for account, mailboxes in ours
    ]
    for thread in threads:
        thread.start()
    child.slot.ready()
    _wait_for(threads, stopper)
    return EXIT_OK


def _watch(watcher: Watcher, account: Account) -> None:
    try:
        watcher.run()
    except Exception:
        # A defect of ours in one account must not stop the others in silence: end the process, loudly.
        _log.exception("account %s: unexpected error", account.name)
        signal.raise_signal(signal.SIGABRT)


def _wait_for(threads: list[threading.Thread], stopper: Stopper) -> None:
    while any(thread.is_alive() for thread in threads) and stopper.wait(0.1):
        pass
    deadline = time.monotonic() + STOP_WAIT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _watcher(
    runtime: Runtime, slot: Slot, stopper: Stopper, ledger: Ledger, account: Account, mailboxes: list[str]
) -> Watcher:
    section = runtime.config.producer
    tally = _tally(slot)
    plan = TransferPlan(section.append_max, section.append_bytes, section.high_water)
    watch_plan = WatchPlan(
        PollPace(section.poll_min, section.poll_max), section.window, section.idle, runtime.once
    )
    return Watcher(
        [MailboxKey(account.name, mailbox) for mailbox in mailboxes],
        lambda: Connection(account, section.timeout, section.max_mail),
        Transfer(ledger, plan, stopper, tally),
        watch_plan,
        stopper,
        tally,
    )


def _tally(slot: Slot) -> Tally:
    lock = threading.Lock()  # the threads of a producer share its slot

    def fetching() -> None:
        if not slot.get(Counter.FIRST_WORK_NS):
            slot.put(Counter.FIRST_WORK_NS, time.monotonic_ns())

    def fetched(mails: int, size: int) -> None:
        with lock:
            slot.add(Counter.FETCHED, mails)
            slot.add(Counter.FETCHED_BYTES, size)

    def appended(mails: int) -> None:
        with lock:
            slot.add(Counter.APPENDED, mails)

    def failed(reason: str) -> None:
        with lock:
            slot.add(Counter.SOURCE_FAILURES)
            slot.message = reason

    return Tally(fetching, fetched, appended, failed)
