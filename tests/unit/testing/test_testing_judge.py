"""The judge finds what it is there for: each test doctors the evidence of a sound run in one way."""

from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from fastmail_ingest.testing.evidence import Deed, Evidence
from fastmail_ingest.testing.judge import judge
from fastmail_ingest.testing.ledger_view import DeadLetter
from fastmail_ingest.testing.plan import Action
from fastmail_ingest.testing.records import BEGUN, FINISHED, RAISED, Records, line
from fastmail_ingest.testing.report import Report
from fastmail_ingest.testing.supervised import Ended

MAILS = [f"chaos:INBOX:7:{uid}" for uid in range(1, 11)]
# Above pid_max: no such process lives.
FIRST, SECOND, SUPERVISOR = 5_000_001, 5_000_002, 5_000_000


class Case:
    """Two workers; the first handled all mails between second 10 and 20."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.facts: dict[str, object] = {"effects": list(MAILS)}
        for number, mail in enumerate(MAILS):
            self.call(FIRST, mail, 10 + number)

    def call(self, pid: int, mail: str, at: float, attempt: int = 1, end: bytes = FINISHED) -> None:
        name = f"{pid}-{SUPERVISOR}-{9_000_000_000 if pid == FIRST else 20_000_000_000}"
        with (self.directory / name).open("ab") as file:
            file.write(line(BEGUN, mail, attempt, at))
            if end:
                file.write(line(end, mail, attempt, at + 0.5))

    def kill(self, at: float, action: Action = Action.KILL_WORKER, pid: int = FIRST) -> None:
        self.facts["deeds"] = [Deed(action, at, at, pid)]

    @cached_property
    def report(self) -> Report:
        """The verdict; all doctoring comes before it is asked for."""
        records = Records(self.directory)
        records.refresh()
        facts = {
            "expected": MAILS, "vanished": set(), "struck": {}, "records": records, "deeds": [], "log_deaths": [],
            "dead_letters": [], "effects": [], "queued": set(), "breaches": [], "troubles": [],
        }  # fmt: skip
        return judge(Evidence(**{**facts, **self.facts}), seed=1, seconds=1.0)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "records")


def test_a_sound_run_is_fine(case: Case) -> None:
    report = case.report
    assert report.ok, report
    assert report.handled == 10
    assert "every promise kept" in str(report)


def test_a_planted_loss_is_found(case: Case) -> None:
    case.facts["expected"] = [*MAILS, "chaos:INBOX:7:11"]
    assert case.report.lost == ["chaos:INBOX:7:11"]
    assert not case.report.ok


def test_a_mail_that_only_waits_is_not_handled_either(case: Case) -> None:
    case.facts |= {"expected": [*MAILS, "chaos:INBOX:7:11"], "queued": {"chaos:INBOX:7:11"}}
    assert case.report.lost == ["chaos:INBOX:7:11 (still queued)"]


def test_a_mail_that_the_server_removed_is_not_lost(case: Case) -> None:
    case.facts |= {"expected": [*MAILS, "chaos:INBOX:7:11"], "vanished": {"chaos:INBOX:7:11"}}
    assert case.report.ok


def test_a_planted_double_is_found(case: Case) -> None:
    case.kill(25)
    case.call(SECOND, MAILS[3], 30, attempt=1)
    assert case.report.doubled == [MAILS[3]]
    assert not case.report.ok


def test_a_double_after_a_broken_off_call_is_found(case: Case) -> None:
    case.call(FIRST, MAILS[3], 22, attempt=2, end=b"")
    case.call(SECOND, MAILS[3], 30, attempt=1)
    assert case.report.doubled == [MAILS[3]]


def test_a_planted_unmarked_repeat_is_found(case: Case) -> None:
    case.facts["expected"] = [*MAILS, "new"]
    case.facts["effects"] = [*MAILS, "new"]
    case.kill(25)
    case.call(FIRST, "new", 24, end=b"")
    case.call(SECOND, "new", 30, attempt=1)
    assert case.report.unmarked == ["new"]
    assert not case.report.ok


def test_a_planted_repeat_without_need_is_found(case: Case) -> None:
    case.call(SECOND, MAILS[3], 30, attempt=2)
    assert case.report.unforced == [MAILS[3]]
    assert not case.report.ok


def test_a_repeat_before_the_death_is_one_without_need(case: Case) -> None:
    case.kill(31)
    case.call(SECOND, MAILS[3], 30, attempt=2)
    assert case.report.unforced == [MAILS[3]]


@pytest.mark.parametrize(
    ("action", "pid"), [(Action.KILL_WORKER, FIRST), (Action.KILL_SUPERVISOR, SUPERVISOR)]
)
def test_a_death_explains_marked_repeats_after_it(case: Case, action: Action, pid: int) -> None:
    case.kill(25, action, pid)
    case.call(SECOND, MAILS[9], 30, attempt=2)
    report = case.report
    assert report.ok, report
    assert report.repeats.unsettled == 1


def test_a_mail_in_hand_comes_again_and_its_recovery_is_timed(case: Case) -> None:
    case.facts["expected"] = case.facts["effects"] = [*MAILS, "new"]
    case.call(FIRST, "new", 24, end=b"")
    case.kill(25)
    case.call(SECOND, "new", 25.25, attempt=2)
    report = case.report
    assert report.ok, report
    assert report.repeats.in_hand == 1
    assert report.recovery.max_ms == pytest.approx(250)


def test_recovery_while_redis_was_away_is_counted_apart(case: Case) -> None:
    case.call(SECOND, MAILS[9], 25.25, attempt=2)
    case.facts["deeds"] = [
        Deed(Action.KILL_WORKER, 25, 25, FIRST), Deed(Action.KILL_REDIS, 24.5, 25.1)
    ]  # fmt: skip
    assert case.report.recovery.mails == 0
    assert case.report.recovery_disturbed.mails == 1


def test_a_namesake_born_after_the_kill_has_not_died(case: Case) -> None:
    case.kill(5)
    case.call(SECOND, MAILS[3], 30, attempt=2)
    assert case.report.unforced == [MAILS[3]]


def test_a_failure_is_followed_by_a_marked_retry(case: Case) -> None:
    case.facts["expected"] = case.facts["effects"] = [*MAILS, "new"]
    case.call(FIRST, "new", 21, end=RAISED)
    case.call(SECOND, "new", 22, attempt=2)
    report = case.report
    assert report.ok, report
    assert report.repeats.after_failure == 1


def test_a_worker_that_the_supervisor_killed_explains_repeats(case: Case) -> None:
    case.facts["log_deaths"] = [Ended(FIRST, 25, killed=True)]
    case.call(SECOND, MAILS[9], 30, attempt=2)
    assert case.report.ok
    assert case.report.hung == 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"log_deaths": [Ended(77, 15, killed=False, message="worker 0 (pid 77) died")]},
            "nobody had killed",
        ),
        ({"expected": MAILS[1:]}, "nobody sent"),
        ({"effects": MAILS[1:]}, "without effect"),
        ({"dead_letters": [DeadLetter("ghost", "killed_worker")]}, "no handler ever saw it"),
        ({"dead_letters": [DeadLetter(MAILS[0], "killed_worker")]}, "a dead letter all the same"),
        ({"breaches": ["1 entries are still pending"]}, "still pending"),
        ({"troubles": ["the supervisor ended by itself with exit code 4"]}, "exit code 4"),
    ],
)
def test_other_breaches_are_found(case: Case, facts: dict[str, object], words: str) -> None:
    case.facts |= facts
    report = case.report
    assert not report.ok
    assert any(words in breach for breach in report.breaches), report.breaches


def test_a_doubled_effect_is_found(case: Case) -> None:
    case.facts["effects"] = [*MAILS, MAILS[0]]
    assert case.report.effects_doubled == 1
    assert not case.report.ok


def test_the_report_can_be_written_as_json(case: Case) -> None:
    report = case.report
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
