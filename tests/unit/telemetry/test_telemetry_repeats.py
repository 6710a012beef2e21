"""The log's own handler: what repeats is held back and told, what must not be dropped never is."""

import io
import logging

import orjson
import pytest
from support.waiting import wait_until

from fastmail_ingest.model.scope import Scope, log_scope
from fastmail_ingest.policy.repeats import RepeatRule
from fastmail_ingest.telemetry.lines import JsonLines
from fastmail_ingest.telemetry.repeats import LineHandler

LONG_S = 3600.0
FAILED = "mail %s: the handler raised %s"


class Log:
    """A handler with what it wrote."""

    def __init__(self, rule: RepeatRule) -> None:
        self.out = io.StringIO()
        self.handler = LineHandler(self.out, rule)
        self.handler.setFormatter(JsonLines())

    def write(
        self, template: str, *words: object, logger: str = "fastmail_ingest.pipeline.judge", level: int = 30
    ) -> None:
        self.handler.handle(logging.LogRecord(logger, level, "f.py", 1, template, words, None))

    def lines(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.out.getvalue().splitlines()]

    def messages(self) -> list[object]:
        return [line["message"] for line in self.lines()]


@pytest.fixture
def log() -> Log:
    return Log(RepeatRule(burst=2, interval_s=LONG_S))


def test_failures_of_different_mails_are_alike_and_all_are_counted(log: Log) -> None:
    for number in range(100):
        with log_scope(Scope(f"{number:032x}", f"account {number}", "INBOX")):
            log.write(FAILED, number, "ValueError")
    assert log.messages() == [
        "mail 0: the handler raised ValueError",
        "mail 1: the handler raised ValueError",
    ]
    log.handler.tell_all()
    told = log.lines()[-1]
    assert told["message"] == "… 98 more like this in the last 0 s: mail …: the handler raised …"
    assert (told["held_back"], told["level"], told["logger"]) == (
        98,
        "warning",
        "fastmail_ingest.pipeline.judge",
    )
    assert "correlation_id" not in told


def test_accounts_and_texts_do_not_hold_each_other_back(log: Log) -> None:
    for account in "abc":
        with log_scope(Scope(account=account)):
            for _ in range(3):
                log.write("%s; next try in %.1f s", "refused", 1.0)
    for text in "def":
        for _ in range(3):
            log.write("%s", text)
    assert len(log.lines()) == 12
    log.handler.tell_all()
    told = log.lines()[12:]
    assert [line.get("account") for line in told] == ["a", "b", "c", None, None, None]
    assert [line["held_back"] for line in told] == [1] * 6


@pytest.mark.parametrize(
    ("logger", "level"),
    [
        ("fastmail_ingest.supervisor.supervisor", logging.WARNING),  # deaths
        ("fastmail_ingest.app.supervise", logging.INFO),  # the report of a drain
        ("fastmail_ingest.handler", logging.INFO),  # the handler "log": a line a mail
        ("shop.mails", logging.ERROR),  # a user's own
        ("fastmail_ingest.pipeline.judge", logging.DEBUG),
        ("stdout", logging.INFO),
    ],
)
def test_what_must_not_be_dropped_is_not(log: Log, logger: str, level: int) -> None:
    for _ in range(50):
        log.write("worker %d died", 1, logger=logger, level=level)
    assert len(log.lines()) == 50


def test_it_is_told_in_time_though_nothing_more_is_logged() -> None:
    log = Log(RepeatRule(burst=1, interval_s=0.05))
    log.handler.may_start_threads = True
    for _ in range(3):
        log.write("again")
    wait_until(lambda: sum(line.get("held_back", 0) for line in log.lines()) == 2, "both are told")
    for _ in range(3):
        log.write("again")
    wait_until(lambda: sum(line.get("held_back", 0) for line in log.lines()) == 4, "and those after them")


def test_the_rest_is_told_once_with_the_next_line() -> None:
    log = Log(RepeatRule(burst=1, interval_s=0.0))
    log.write("again")
    log.write("again")
    assert log.messages() == ["again", "again"]  # an interval of nothing holds nothing back
    log.handler.tell_all()
    assert len(log.lines()) == 2
