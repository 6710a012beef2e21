"""A producer process: one thread for each connection to a mail server."""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastmail_ingest.app.credentials import tokens_of
from fastmail_ingest.app.fingerprint import fingerprint
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.config import Account
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.follower import FollowPlan
from fastmail_ingest.pipeline.gate import Gate, Ramp, Terms
from fastmail_ingest.pipeline.outage import Outage
from fastmail_ingest.pipeline.producer import Reach, Watcher, WatchPlan
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.pipeline.transfer import Tally, Transfer, TransferPlan
from fastmail_ingest.pipeline.untraced import Untraced
from fastmail_ingest.policy.polling import PollPace
from fastmail_ingest.policy.pressure import Marks
from fastmail_ingest.source.large import Large
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.source.session import Tokens
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.supervisor.role import Child
from fastmail_ingest.supervisor.slots import Slot
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.metrics_directory import begin_counting
from fastmail_ingest.telemetry.producer_metrics import ProducerMetrics
from fastmail_ingest.telemetry.tracing import Tracing
from fastmail_ingest.telemetry.tracing import begin as begin_tracing

# A thread may be waiting for a mail server that does not answer; all it does may be done again.
STOP_WAIT_S = 1.0
_LOOK_EVERY_S = 0.1
_SILENCE_S = 5.0  # an answer that comes in less is nothing to speak of
_log = logging.getLogger(__name__)


def connections(accounts: Sequence[Account]) -> list[tuple[Account, list[str]]]:
    """Which mailboxes share a connection: the first have one each, the rest the last one."""
    dealt: list[tuple[Account, list[str]]] = []
    for account in accounts:
        alone = account.mailboxes[: account.max_connections]
        if len(account.mailboxes) > account.max_connections:
            alone = alone[:-1]
        dealt += [(account, [mailbox]) for mailbox in alone]
        if shared := account.mailboxes[len(alone) :]:
            dealt.append((account, shared))
    return dealt


def run_producer(runtime: Runtime, child: Child, processes: int) -> int:
    """The whole life of one of `processes` producer processes; returns its exit code."""
    stopper = Stopper()
    signal.signal(signal.SIGTERM, lambda *_: stopper.stop())
    ledger = Ledger(runtime.redis_url, runtime.config.redis.password, runtime.arguments)
    ours = connections(runtime.config.accounts)[child.number :: processes]
    metrics = _metrics(runtime, child.slot)
    tracing = begin_tracing(enabled=runtime.config.tracing.enabled, node=runtime.node)
    shared = _Shared(child.slot, ledger, stopper, _Tallies(child.slot, metrics, tracing), Outage())
    entrances = _entrances(ours, ledger)
    watching = {
        _name(account, mailboxes): _watcher(runtime, shared, account, mailboxes, entrances[account.name])
        for account, mailboxes in ours
    }
    threads = [
        threading.Thread(target=_watch, args=(watcher, name), name=name, daemon=True)
        for name, watcher in watching.items()
    ]
    for thread in threads:
        thread.start()
    child.slot.ready()
    while any(thread.is_alive() for thread in threads) and stopper.wait(_LOOK_EVERY_S):
        gates = [entrance.gate for entrance in entrances.values()]
        _show(child.slot, shared.outage, gates)
        _show_silence(child.slot, runtime.mailboxes, watching)
        if metrics is not None:
            for gate in gates:
                metrics.breaker(gate.breaker.name, gate.breaker.state)
        if stuck := _stuck([thread for thread in threads if thread.is_alive()], watching):
            # Only a new process gets rid of a thread that does not answer.
            child.slot.message = stuck
            return EXIT_FAILURE
    _join(threads)
    if tracing is not None:
        tracing.close(runtime.config.supervisor.drain_timeout)
    return EXIT_OK


def _name(account: Account, mailboxes: list[str]) -> str:
    return f"{account.name}/{mailboxes[0]}"


@dataclass(frozen=True)
class _Entrance:
    """What all connections of one account share: its gate, and its tokens if it logs in by those."""

    gate: Gate
    tokens: Tokens | None


def _entrances(ours: Sequence[tuple[Account, list[str]]], ledger: Ledger) -> dict[str, _Entrance]:
    """One an account; accounts of one host share a ramp."""
    ramps: dict[str, Ramp] = {}
    entrances: dict[str, _Entrance] = {}
    for account in {account.name: account for account, _ in ours}.values():
        here = sum(other.name == account.name for other, _ in ours)
        terms = Terms(here, account.effective_daily_bytes, lambda account=account: fingerprint(account))  # type: ignore[misc]
        ramp = ramps.setdefault(account.host, Ramp())
        gate = Gate(account.name, ledger.accounts, terms, ramp)
        entrances[account.name] = _Entrance(gate, tokens_of(account))
    return entrances


def _show(slot: Slot, outage: Outage, gates: list[Gate]) -> None:
    slot.put(Counter.ALIVE_NS, time.monotonic_ns())
    slot.put(Counter.REDIS_BREAKER, outage.state)
    slot.put(Counter.ACCOUNTS_OPEN, sum(not gate.is_open for gate in gates))


def _show_silence(slot: Slot, mailboxes: Sequence[str], watching: dict[str, Watcher]) -> None:
    now = time.monotonic()
    silent = {name: watcher.silence.unanswered_s(now) for name, watcher in watching.items()}
    silent = {name: for_s for name, for_s in silent.items() if for_s >= _SILENCE_S}
    worst = max(silent, key=lambda name: silent[name], default="")
    slot.put(Counter.SILENT_CONNECTIONS, len(silent))
    slot.put(Counter.SILENT_MAILBOX, mailboxes.index(worst) + 1 if worst else 0)
    slot.put(Counter.SILENT_SINCE_NS, int((now - silent[worst]) * 1e9) if worst else 0)


def _stuck(threads: list[threading.Thread], watching: dict[str, Watcher]) -> str:
    now = time.monotonic()
    for thread in threads:
        if overdue_s := watching[thread.name].silence.overdue_s(now):
            return f"{thread.name} is stuck: its next sign of life is overdue for {overdue_s:.0f} s"
    return ""


def _watch(watcher: Watcher, name: str) -> None:
    try:
        watcher.run()
    except Exception:
        # A defect of ours in one account must not stop the others in silence: end the process, loudly.
        _log.exception("%s: unexpected error", name)
        signal.raise_signal(signal.SIGABRT)


def _join(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + STOP_WAIT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


@dataclass(frozen=True)
class _Shared:
    """What the watchers of one process have in common."""

    slot: Slot
    ledger: Ledger
    stopper: Stopper
    tallies: "_Tallies"
    outage: Outage


def _watcher(
    runtime: Runtime, shared: _Shared, account: Account, mailboxes: list[str], entrance: _Entrance
) -> Watcher:
    section, tally = runtime.config.producer, shared.tallies.of(account.name)
    large = Large(runtime.config.blobs.inline_limit, runtime.blobs)
    marks = Marks(section.high_water, section.high_water_bytes, section.redis_memory)
    plan = TransferPlan(section.append_max, section.append_bytes, marks)
    pace = PollPace(section.poll_min, section.poll_max)
    return Watcher(
        [MailboxKey(account.name, mailbox) for mailbox in mailboxes],
        Reach(
            lambda: Connection(account, section.timeout, section.max_mail, entrance.tokens, large),
            entrance.gate,
        ),
        Transfer(shared.ledger, plan, shared.stopper, tally, shared.outage),
        WatchPlan(
            pace,
            FollowPlan(section.window, begin_now=account.start == "now"),
            section.idle,
            runtime.once,
            section.timeout,
        ),
        shared.stopper,
        tally,
    )


def _metrics(runtime: Runtime, slot: Slot) -> ProducerMetrics | None:
    if begin_counting(slot.generation) is None:
        return None
    return ProducerMetrics([account.name for account in runtime.config.accounts])


class _Tallies:
    """What the threads of a producer count, all of them in its one slot."""

    def __init__(self, slot: Slot, metrics: ProducerMetrics | None, tracing: Tracing | None) -> None:
        self._slot = slot
        self._metrics = metrics
        self._tracing = tracing
        self._lock = threading.Lock()

    def of(self, account: str) -> Tally:
        """The tally of one thread, which works for this account."""
        slot, lock, metrics = self._slot, self._lock, self._metrics
        traces = self._tracing.producer() if self._tracing is not None else None
        offered = 0

        def fetching() -> None:
            if traces is not None:
                traces.begin()
            if not slot.get(Counter.FIRST_WORK_NS):
                slot.put(Counter.FIRST_WORK_NS, time.monotonic_ns())

        def fetched(mails: int, size: int) -> None:
            nonlocal offered
            offered = mails
            with lock:
                slot.add(Counter.FETCHED, mails)
                slot.add(Counter.FETCHED_BYTES, size)
            if metrics is not None:
                metrics.fetched(account, mails, size)

        def appended(mails: int) -> None:
            with lock:
                slot.add(Counter.APPENDED, mails)
            if metrics is not None:
                metrics.appended(account, mails, offered - mails)

        def failed(reason: str) -> None:
            with lock:
                slot.add(Counter.SOURCE_FAILURES)
                slot.message = reason

        def polled(ok: bool, seconds: float) -> None:
            if metrics is not None:
                metrics.polled(account, ok, seconds)

        return Tally(fetching, fetched, appended, failed, polled, traces or Untraced())
