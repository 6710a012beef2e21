"""Gauges of what somebody has seen: the stream, accounts and mailboxes, processes. See model.snapshot."""

import platform
import time
from collections.abc import Iterator, Sequence

from fastmail_ingest.model.snapshot import RoleStanding, Snapshot
from fastmail_ingest.model.standing import AccountStanding, MailboxStanding, StreamStanding
from fastmail_ingest.telemetry import catalogue as c
from fastmail_ingest.telemetry.exposition import Reading

_BREAKERS = {"closed": 0.0, "open": 1.0, "half_open": 2.0}  # as in policy.breaker.State
_STANDINGS = ("ok", "resting", "suspended")


def readings(snapshot: Snapshot) -> Iterator[Reading]:
    """All of them; what only Redis knows is left out while it does not answer."""
    now = time.time()
    yield Reading(c.BUILD_INFO, 1.0, (snapshot.version, platform.python_version()))
    yield Reading(c.UPTIME, max(0.0, now - snapshot.since))
    yield Reading(c.REDIS_UP, float(snapshot.redis.ok))
    yield Reading(c.OBSERVED_AGE, max(0.0, now - snapshot.time) + snapshot.redis.seen_s_ago)
    yield from _processes(snapshot)
    for silence in snapshot.silences:
        account, _, mailbox = silence.mailbox.partition("/")
        yield Reading(c.MAILBOX_UNANSWERED, silence.for_s, (account, mailbox))
    if snapshot.redis.ok:
        if snapshot.stream is not None:
            yield from _stream(snapshot.stream)
        yield from _accounts(snapshot.accounts)
        yield from _mailboxes(snapshot.accounts, now, snapshot.since)


def _stream(stream: StreamStanding) -> Iterator[Reading]:
    for lane in stream.lanes:
        yield Reading(c.STREAM_DEPTH, lane.mails, (lane.lane,))
        yield Reading(c.OLDEST_AGE, lane.oldest_s or 0.0, (lane.lane,))
    yield Reading(c.STREAM_BYTES, stream.bytes)
    yield Reading(c.RETRIES_WAITING, stream.waiting_for_retry)
    yield Reading(c.DLQ_DEPTH, stream.dead)
    yield Reading(c.REDIS_MEMORY_USED, stream.memory.used)
    yield Reading(c.REDIS_MEMORY_LIMIT, stream.memory.limit)


def _processes(snapshot: Snapshot) -> Iterator[Reading]:
    yield Reading(c.ACTIVE_WORKERS, sum(role.ready for role in snapshot.roles if role.role == "worker"))
    yield Reading(c.EMAILS_IN_HAND, sum(process.in_hand_count for process in snapshot.processes))
    for breaker in snapshot.breakers:
        yield Reading(c.CIRCUIT_BREAKER_STATE, _BREAKERS[breaker.state], (breaker.dependency,))
    for role in snapshot.roles:
        yield from _role(role)
    memory: dict[str, int] = {}
    for process in snapshot.processes:
        memory[process.role] = memory.get(process.role, 0) + (process.rss_bytes or 0)
    for name, size in memory.items():
        yield Reading(c.PROCESS_MEMORY, size, (name,))


def _role(role: RoleStanding) -> Iterator[Reading]:
    yield Reading(c.PROCESSES, role.ready, (role.role,))
    yield Reading(c.PROCESSES_WANTED, role.wanted, (role.role,))
    yield Reading(c.PROCESS_STARTS, role.started, (role.role,))
    yield Reading(c.PROCESS_DEATHS, role.deaths, (role.role,))


def _accounts(accounts: Sequence[AccountStanding]) -> Iterator[Reading]:
    for account in accounts[: c.ACCOUNTS_MAX]:
        yield from _account(account.account, [account])
    if rest := accounts[c.ACCOUNTS_MAX :]:
        yield from _account(c.OTHER, rest)


def _account(label: str, accounts: Sequence[AccountStanding]) -> Iterator[Reading]:
    """An account, or several under one label: it stands in each way in which one of them does."""
    for standing in _STANDINGS:
        stands = any(account.standing == standing for account in accounts)
        yield Reading(c.ACCOUNT_STANDING, float(stands), (label, standing))
    yield Reading(c.ACCOUNT_FETCHED, sum(account.bytes_in_24_h for account in accounts), (label,))
    if limits := [account.bytes_allowed for account in accounts if account.bytes_allowed]:
        yield Reading(c.ACCOUNT_LIMIT, sum(limits), (label,))


def _mailboxes(accounts: Sequence[AccountStanding], now: float, since: float) -> Iterator[Reading]:
    labelled = [((account.account, each.mailbox), each) for account in accounts for each in account.mailboxes]
    for labels, mailbox in labelled[: c.MAILBOXES_MAX]:
        yield from _mailbox(labels, [mailbox], now, since)
    if rest := [mailbox for _, mailbox in labelled[c.MAILBOXES_MAX :]]:
        yield from _mailbox((c.OTHER, c.OTHER), rest, now, since)


def _mailbox(
    labels: tuple[str, str], mailboxes: Sequence[MailboxStanding], now: float, since: float
) -> Iterator[Reading]:
    """A mailbox, or several under one label: the one that is the worst off counts."""
    oldest = min(mailbox.fresh_at or since for mailbox in mailboxes)
    yield Reading(c.MAILBOX_FRESHNESS, max(0.0, now - oldest), labels)
    yield Reading(c.MAILBOX_REFUSED, float(any(mailbox.refused for mailbox in mailboxes)), labels)
    yield Reading(c.EMAILS_QUARANTINED, sum(len(mailbox.quarantined) for mailbox in mailboxes), labels)
