"""When all is well and when it is not: each reason has its name, whom it is about, and a remedy that exists."""

import re

import pytest
from msgspec.structs import replace

from fastmail_ingest.cli.main import cli
from fastmail_ingest.model.account_state import Refusal
from fastmail_ingest.model.snapshot import SilenceStanding
from fastmail_ingest.model.standing import AccountStanding, LaneStanding, MailboxStanding, StreamStanding
from fastmail_ingest.policy.readiness import SHOWN_MAX, Facts, Limits, Reason, RoleFacts, judge

LIMITS = Limits(freshness_s=240.0, backlog_age_s=600.0, dead_growth=20, deaths=4)
NOW = 1_700_000_000.0
LANES = [LaneStanding("again", 0, None), LaneStanding("live", 3, 1.0), LaneStanding("backfill", 0, None)]
STREAM = StreamStanding(3, 0, 5, 3000, LANES)
WORKER = RoleFacts("worker", 2, 2, 0.0, 0, "")


def mailbox(
    name: str = "INBOX", fresh_s_ago: float | None = 1.0, refused: Refusal | None = None
) -> MailboxStanding:
    fresh_at = NOW - fresh_s_ago if fresh_s_ago is not None else 0.0
    return MailboxStanding(name, fresh_at, fresh_s_ago, refused, 7, 7, [])


def account(*mailboxes: MailboxStanding, name: str = "work", **more: object) -> AccountStanding:
    made = AccountStanding(name, "ok", 0.0, 0, "", 0.0, False, 0, 0, 0, list(mailboxes))
    return replace(made, **more)


WELL = Facts(
    now=NOW, uptime_s=86400.0, stopping=False, redis_error="", roles=[WORKER], open_breakers={}, stream=STREAM,
    dead_rise=0, accounts=[account(mailbox())],
)  # fmt: skip


def reasons(**changed: object) -> list[Reason]:
    return judge(replace(WELL, **changed), LIMITS)


def lane(label: str, oldest_s: float) -> StreamStanding:
    return replace(STREAM, lanes=[LaneStanding(label, 1, oldest_s)])


def stale(**more: object) -> list[AccountStanding]:
    return [account(mailbox(fresh_s_ago=241.0), **more)]


WRONG = {
    # what changed: (name, whom it is about, what must be said)
    "stopping": ({"stopping": True}, "stopping", "supervisor", "draining"),
    "redis away": ({"redis_error": "no answer"}, "redis_unreachable", "redis", "no answer"),
    "a worker missing": (
        {"roles": [replace(WORKER, ready=1, short_s=5.0)]}, "processes_missing", "worker", "1 of 2 worker",
    ),
    "no worker yet": (
        {"roles": [replace(WORKER, ready=0, short_s=0.1, ever_ready=False)]}, "processes_missing", "worker", "yet",
    ),
    "no producer": (
        {"roles": [RoleFacts("producer", 1, 0, 60.0, 1, "exit code 70, boom")]}, "processes_missing", "producer", "boom",
    ),
    "crash loop": (
        {"roles": [replace(WORKER, deaths=4, last_words="signal 9")]}, "crash_loop", "worker", "signal 9",
    ),
    "handler's breaker": ({"open_breakers": {"handler": 2}}, "breaker_open", "handler", "2 workers"),
    "Redis refuses": ({"open_breakers": {"redis": 1}}, "breaker_open", "redis", "refuses"),
    "old mail": ({"stream": lane("live", 600.0)}, "backlog_old", "live", "600 s"),
    "old retry": ({"stream": lane("again", 601.0)}, "backlog_old", "again", "601 s"),
    "more dead letters": ({"dead_rise": 20}, "dead_letters_growing", "dead", "20 more"),
    "suspended": (
        {"accounts": stale(standing="suspended", reason="app password needed")},
        "account_suspended", "work", "app password",
    ),
    "token": (
        {"accounts": stale(standing="suspended", reason="invalid_grant", oauth=True)},
        "token_expired", "work", "invalid_grant",
    ),
    "a silent server": (
        {"silences": [SilenceStanding("work/INBOX", 15.0, 3)]}, "mailbox_stuck", "work/INBOX", "2 other connections",
    ),
    "refused mailbox": (
        {"accounts": [account(mailbox(refused=Refusal(NOW, "no such mailbox"), fresh_s_ago=999.0))]},
        "mailbox_refused", "work/INBOX", "no such mailbox",
    ),
    "stale": ({"accounts": stale()}, "mailbox_stale", "work/INBOX", "241 s ago"),
    "never fresh": (
        {"accounts": [account(mailbox(fresh_s_ago=None))], "uptime_s": 240.5}, "mailbox_stale", "work/INBOX", "never",
    ),
    "stale while resting": (
        {"accounts": stale(standing="resting", reason="bandwidth")}, "mailbox_stale", "work/INBOX", "bandwidth",
    ),
}  # fmt: skip


def test_all_is_well() -> None:
    assert reasons() == []


@pytest.mark.parametrize("case", WRONG)
def test_each_reason_says_who_what_and_what_to_do(case: str) -> None:
    changed, name, about, said = WRONG[case]
    (reason,) = reasons(**changed)
    assert (reason.name, reason.about) == (name, about)
    assert said in reason.message
    # A remedy names no command that there is not.
    for verb in re.findall(r"fastmail-ingest (\w+)", reason.remedy):
        assert verb in cli.commands
    assert len(reason.remedy) > 10


WELL_ENOUGH = {
    "a worker is being replaced": {"roles": [replace(WORKER, ready=1, short_s=4.9)]},
    "three deaths": {"roles": [replace(WORKER, deaths=3)]},
    "imports wait": {"stream": lane("backfill", 1e6)},
    "mail waits a little": {"stream": lane("live", 599.9)},
    "some dead letters": {"dead_rise": 19},
    "Redis was not seen yet, but answers": {"stream": None},
    "just started": {"accounts": [account(mailbox(fresh_s_ago=None))], "uptime_s": 239.0},
    "fresh yesterday, started now": {"accounts": [account(mailbox(fresh_s_ago=86400.0))], "uptime_s": 10.0},
    "reading a large mailbox": {
        "accounts": [account(mailbox(fresh_s_ago=None))],
        "moving": frozenset({("work", "INBOX")}),
    },
    "resting, but fresh": {"accounts": [account(mailbox(), standing="resting", reason="bandwidth")]},
}


@pytest.mark.parametrize("case", WELL_ENOUGH)
def test_what_passes_by_itself_is_no_reason(case: str) -> None:
    assert reasons(**WELL_ENOUGH[case]) == []


def test_while_redis_is_away_nothing_is_said_of_what_only_redis_knows() -> None:
    found = reasons(redis_error="no answer", accounts=stale(), stream=lane("live", 1e6), dead_rise=1000)
    assert [reason.name for reason in found] == ["redis_unreachable"]


def test_all_reasons_are_told_the_nearest_cause_first() -> None:
    found = reasons(
        stopping=True, roles=[replace(WORKER, ready=0, short_s=9.0, deaths=9)], open_breakers={"handler": 1},
        accounts=stale(), stream=lane("live", 700.0), dead_rise=30,
    )  # fmt: skip
    assert [reason.name for reason in found] == [
        "stopping", "processes_missing", "crash_loop", "breaker_open", "backlog_old", "dead_letters_growing",
        "mailbox_stale",
    ]  # fmt: skip


def test_a_thousand_stale_mailboxes_are_told_in_a_few_lines() -> None:
    boxes = [mailbox(f"box {number}", fresh_s_ago=500.0) for number in range(1000)]
    found = reasons(accounts=[account(*boxes)])
    assert len(found) == SHOWN_MAX + 1
    assert found[-1].message == f"and {1000 - SHOWN_MAX} more of these"
