"""Whether all is well, as a pure decision: the reasons why not, each with a name, a sentence and a remedy.

name                  it is one when
stopping              the supervisor is draining
redis_unreachable     Redis does not answer; what only Redis knows is not judged then
processes_missing     fewer children of a role are at work than there shall be, for `grace_s`
crash_loop            children of one role died `deaths` times within `deaths_window_s`
breaker_open          a circuit breaker is not closed
backlog_old           a mail waits in a lane for `backlog_age_s`; imports (backfill) may wait
dead_letters_growing  there are `dead_growth` more than at the lowest within `dead_window_s`
account_suspended     a human must act before the account is asked again
token_expired         the same, of an account that logs in by an access token
mailbox_stuck         its server owes an answer for `silence_s`, or serves none of our tries
mailbox_refused       its server does not open it
mailbox_stale         it was not proved to be read to its end for `freshness_s`, and nothing comes out of it
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.snapshot import SilenceStanding
from fastmail_ingest.model.standing import AccountStanding, MailboxStanding, StreamStanding

SHOWN_MAX = 10  # reasons of one name; the rest is counted


class Limits(Struct, frozen=True):
    """From when on something is wrong."""

    freshness_s: float
    backlog_age_s: float
    dead_growth: int
    deaths: int
    silence_s: float = 15.0
    grace_s: float = 5.0
    deaths_window_s: float = 60.0
    dead_window_s: float = 300.0


class RoleFacts(Struct, frozen=True):
    """The children of a role: fewer than `wanted` are at work for `short_s`; `deaths` in the window."""

    role: str
    wanted: int
    ready: int
    short_s: float
    deaths: int
    last_words: str
    ever_ready: bool = True


class Facts(Struct, frozen=True, kw_only=True):
    """What is known at `now` (epoch s). `redis_error` is empty while Redis answers.

    `open_breakers` counts processes by dependency, `dead_rise` is how many dead letters there are above the
    lowest count in the window, and from the mailboxes in `moving` (account, mailbox) mail came within
    `freshness_s`.
    """

    now: float
    uptime_s: float
    stopping: bool
    redis_error: str
    roles: Sequence[RoleFacts]
    open_breakers: Mapping[str, int]
    stream: StreamStanding | None
    dead_rise: int
    accounts: Sequence[AccountStanding]
    moving: frozenset[tuple[str, str]] = frozenset()
    silences: Sequence[SilenceStanding] = ()


class Reason(Struct, frozen=True):
    """Why not all is well; `about` is the role, dependency, lane, account or mailbox that it is about."""

    name: str
    about: str
    message: str
    remedy: str


def judge(facts: Facts, limits: Limits) -> list[Reason]:
    """The reasons why not all is well, none if it is; the names stay the same from version to version."""
    known = [_stopping(facts), _processes(facts, limits), _breakers(facts), _silences(facts, limits)]
    if facts.redis_error:
        known.insert(1, _redis(facts))
    else:
        known += [_stream(facts, limits), _accounts(facts, limits)]
    return list(_shortened(list(chain.from_iterable(known))))


def _shortened(reasons: Sequence[Reason]) -> Iterator[Reason]:
    seen: Counter[str] = Counter()
    for reason in reasons:
        seen[reason.name] += 1
        if seen[reason.name] <= SHOWN_MAX:
            yield reason
    for name, count in seen.items():
        if count > SHOWN_MAX:
            yield Reason(
                name, "", f"and {count - SHOWN_MAX} more of these", "fastmail-ingest status shows all"
            )


def _stopping(facts: Facts) -> Iterator[Reason]:
    if facts.stopping:
        yield Reason("stopping", "supervisor", "it is draining", "wait until it has ended, then start it")


def _redis(facts: Facts) -> Iterator[Reason]:
    remedy = "start Redis, or correct [redis] url; no mail is lost meanwhile, it waits in its mailbox"
    yield Reason("redis_unreachable", "redis", facts.redis_error, remedy)


def _processes(facts: Facts, limits: Limits) -> Iterator[Reason]:
    for role in facts.roles:
        said = f"; the last one: {role.last_words}" if role.last_words and role.deaths else ""
        if role.ready < role.wanted and (role.short_s >= limits.grace_s or not role.ever_ready):
            since = f"for {role.short_s:.0f} s" if role.ever_ready else "yet"
            message = f"{role.ready} of {role.wanted} {role.role} processes are at work {since}{said}"
            remedy = "the log says why the others ended or do not begin: mend that, or free memory"
            yield Reason("processes_missing", role.role, message, remedy)
        if role.deaths >= limits.deaths:
            message = f"{role.deaths} {role.role} processes died in {limits.deaths_window_s:.0f} s{said}"
            remedy = (
                "fastmail-ingest dead list --reason killed_worker names mails that kill; the log has stacks"
            )
            yield Reason("crash_loop", role.role, message, remedy)


def _breakers(facts: Facts) -> Iterator[Reason]:
    for dependency, count in facts.open_breakers.items():
        if dependency == "redis":
            message = f"Redis refuses what {count} processes ask of it"
            remedy = (
                "see that it is no read-only replica, has memory left, and that its disk takes what it writes"
            )
        else:
            message = f"what your handler depends on is down for {count} workers; no mail is taken meanwhile"
            remedy = "repair what the log names behind circuit breaker; it goes on by itself then"
        yield Reason("breaker_open", dependency, message, remedy)


def _silences(facts: Facts, limits: Limits) -> Iterator[Reason]:
    for silence in facts.silences:
        if silence.for_s < limits.silence_s:
            continue
        message = f"its mail server does not answer, or serves none of our tries, for {silence.for_s:.0f} s"
        if others := silence.connections - 1:
            message += f"; so it is with {others} other connections of this process"
        remedy = "the log names what fails; fastmail-ingest supervise --dry-run asks its server"
        yield Reason("mailbox_stuck", silence.mailbox, message, remedy)


def _stream(facts: Facts, limits: Limits) -> Iterator[Reason]:
    if facts.stream is None:
        return
    for lane in facts.stream.lanes:
        if lane.lane == Lane.BACKFILL.label or lane.oldest_s is None or lane.oldest_s < limits.backlog_age_s:
            continue
        message = f"a mail waits for {lane.oldest_s:.0f} s, behind it are {lane.mails} in all"
        yield Reason("backlog_old", lane.lane, message, "more workers ([worker] procs), or a quicker handler")
    if facts.dead_rise >= limits.dead_growth:
        minutes = f"{limits.dead_window_s / 60:.0f} minutes"
        message = f"{facts.dead_rise} more within {minutes}, {facts.stream.dead} in all"
        remedy = "fastmail-ingest dead list says why; mend the handler, then fastmail-ingest dead replay"
        yield Reason("dead_letters_growing", "dead", message, remedy)


def _accounts(facts: Facts, limits: Limits) -> Iterator[Reason]:
    for account in facts.accounts:
        if account.standing == "suspended":
            yield _suspended(account)
            continue
        for mailbox in account.mailboxes:
            yield from _mailbox(account, mailbox, facts, limits)


def _suspended(account: AccountStanding) -> Reason:
    name = account.account
    if account.oauth:
        remedy = f"fastmail-ingest auth info {name} says what is missing; fastmail-ingest auth setup {name}"
        return Reason("token_expired", name, account.reason, remedy)
    remedy = (
        "correct the password, or do what the server asks for; it is tried again seldom, or at a new password"
    )
    return Reason("account_suspended", name, account.reason, remedy)


def _mailbox(
    account: AccountStanding, mailbox: MailboxStanding, facts: Facts, limits: Limits
) -> Iterator[Reason]:
    about = f"{account.account}/{mailbox.mailbox}"
    if mailbox.refused is not None:
        remedy = "correct its name in [[accounts]] mailboxes, or make it on the server"
        yield Reason("mailbox_refused", about, mailbox.refused.reason, remedy)
        return
    # A supervisor that has just started has had no time to prove anything.
    stale_s = min(facts.now - mailbox.fresh_at, facts.uptime_s)
    if stale_s <= limits.freshness_s or (account.account, mailbox.mailbox) in facts.moving:
        return
    last = f"{facts.now - mailbox.fresh_at:.0f} s ago" if mailbox.fresh_at else "never"
    message = f"last proved to be read to its end: {last}"
    if account.standing == "resting":
        message += f"; the account rests until its provider allows more: {account.reason}"
    yield Reason(
        "mailbox_stale",
        about,
        message,
        "the log names what fails; fastmail-ingest supervise --dry-run asks its server",
    )
