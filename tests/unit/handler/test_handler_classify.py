"""The handler `classify`: problems, categories, priority, and what it tells."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fastmail_ingest.config import Config, HandlerConfig
from fastmail_ingest.config.classify import ClassifyConfig, ClassifyRule
from fastmail_ingest.handler.boxed import BOX
from fastmail_ingest.handler.chain import load
from fastmail_ingest.handler.classify import Classify, Statistics
from fastmail_ingest.model.classification import Classification
from fastmail_ingest.testing import run_handler

NOW = format_datetime(datetime.now(UTC))
INVOICE = ClassifyRule(category="billing", words=["invoice"], priority="high")
OUTAGE = ClassifyRule(category="outage", words=["down"], priority="urgent")
NEWS = ClassifyRule(category="news", words=["invoice", "newsletter"])


def mail(body: str = "text", **headers: str) -> bytes:
    written = {"From": "ann@example.org", "Date": NOW, "Subject": "Hello", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in written.items() if value]
    return "\r\n".join([*lines, "", body, ""]).encode()


def classified(raw: bytes, *rules: ClassifyRule, **settings: object) -> Classification:
    outcome = run_handler(Classify(ClassifyConfig(**settings), list(rules)), raw)
    assert outcome.done, outcome
    return outcome.email.notes["classification"]


def test_a_sound_mail_has_no_problem() -> None:
    assert classified(mail()) == Classification("normal", (), (), ())


OLD = format_datetime(datetime.now(UTC) - timedelta(days=3))
PROBLEMS = [
    (mail(From=""), {}, "no_sender"),
    (mail(Date=""), {}, "no_date"),
    (mail(Date="yesterday, I think"), {}, "no_date"),
    (mail(Date=OLD), {"max_age_days": 2}, "too_old"),
    (mail("x" * 1000), {"max_size": 1000}, "too_large"),
]


@pytest.mark.parametrize(
    ("raw", "settings", "problem"), PROBLEMS, ids=["nobody", "no date", "bad date", "old", "large"]
)
def test_a_problem_is_noted_or_rejects(raw: bytes, settings: dict[str, int], problem: str) -> None:
    assert problem in classified(raw, **settings).problems
    outcome = run_handler(Classify(ClassifyConfig(reject=[problem], **settings), []), raw)
    assert outcome.rejected
    assert problem in outcome.reason
    assert problem in outcome.email.notes["classification"].problems


def test_damage_is_a_problem() -> None:
    raw = (
        b"From: a@b\r\nContent-Type: multipart/mixed; boundary=x\r\n"
        + b"X: y\r\n" * 20_000
        + b"\r\n--x\r\n\r\n"
    )
    assert "damaged" in classified(raw).problems


def test_limits_of_0_are_none() -> None:
    assert classified(mail(Date="Thu, 01 Jan 1998 00:00:00 -0000")).problems == ()


def test_rules_give_categories_in_their_order_and_the_highest_priority() -> None:
    found = classified(mail("your invoice; all is down", Subject="newsletter"), INVOICE, OUTAGE, NEWS)
    assert found == Classification(
        "urgent", ("billing", "outage", "news"), ("invoice", "down", "newsletter"), ()
    )


def test_words_are_looked_for_where_the_rule_says() -> None:
    rule = ClassifyRule(category="c", words=["ann"], look_in=["sender"])
    assert classified(mail(From="Ann Lee <x@example.org>"), rule).categories == ("c",)
    assert classified(mail(From="bob@example.org", Subject="ann"), rule).categories == ()


def test_only_the_beginning_of_the_text_is_searched() -> None:
    raw = mail("x" * 100 + " invoice")
    assert classified(raw, INVOICE, search_limit=100).categories == ()
    assert classified(raw, INVOICE, search_limit=110).categories == ("billing",)


@pytest.mark.parametrize(
    ("headers", "priority"),
    [
        ({"X_Priority": "1 (Highest)"}, "high"), ({"X_Priority": "3"}, "normal"), ({"X_Priority": "5"}, "low"),
        ({"Importance": "High"}, "high"), ({"Importance": "low"}, "low"), ({"Priority": "urgent"}, "high"),
        ({"Importance": "invoice"}, "normal"), ({"Auto_Submitted": "auto-replied; x=y"}, "low"),
        ({"Auto_Submitted": "no"}, "normal"), ({"Precedence": "bulk"}, "low"), ({"List_Id": "<l.example>"}, "low"),
        ({"Auto_Submitted": "auto-generated", "X_Priority": "1"}, "low"),
    ],
)  # fmt: skip
def test_headers_speak_where_no_rule_does(headers: dict[str, str], priority: str) -> None:
    assert classified(mail(**headers)).priority == priority
    assert classified(mail("invoice", **headers), INVOICE).priority == "high"


def test_headers_need_not_be_believed() -> None:
    assert classified(mail(Importance="high"), header_priority=False).priority == "normal"


def test_the_next_handler_of_a_chain_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    config = Config(handler=HandlerConfig(handlers=["classify", "log"]), classify_rules=[INVOICE])
    assert run_handler(load(config, []).function, mail("invoice")).done
    assert "[high, billing]" in caplog.text


def test_what_was_counted_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    classify = BOX["classify"](Config(classify_rules=[INVOICE]))
    run_handler(classify, mail("invoice"))
    run_handler(classify, mail("invoice"), attempt=2)
    assert caplog.messages[-1] == "classified 1 mails: category billing: 1, priority high: 1"


def test_what_was_counted_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    statistics = Statistics(10.0, lambda: now)
    for now in (1.0, 9.9, 10.0, 11.0, 20.0):  # noqa: B007 - the clock reads it
        statistics.count(Classification("low", (), (), ("no_date",)))
    told = [message.partition(" mails")[0] for message in caplog.messages]
    assert told == ["classified 3", "classified 5"]
    quiet = Statistics(0.0, lambda: now)
    quiet.count(Classification("low", (), (), ()))
    assert len(caplog.messages) == 2
