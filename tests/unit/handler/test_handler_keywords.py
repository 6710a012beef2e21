"""Rules of `classify`: words, patterns, senders, and texts that are meant to take long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.config.classify import ClassifyRule
from fastmail_ingest.errors import HandlerLoadError
from fastmail_ingest.handler.keywords import contains_word, fold, ready, searched

EMPTY = searched("")


def found(text: str, sender: str = "", **rule: object) -> list[str] | None:
    (made,) = ready([ClassifyRule(category="c", **rule)])
    return made.found({"subject": searched(text), "text": EMPTY, "sender": EMPTY}, sender)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("invoice", "Your INVOICE, please"),
        ("payment due", "payment\r\n  due"),
        ("Straße", "STRASSE 5"),
        ("cafe\u0301", "caf\u00e9"),
        ("\uff49\uff4e\uff56oice", "invoice"),
        ("c++", "c++ and more"),
        ("请求", "我的请求是"),
        ("invoice", "invoices invoice"),
    ],
)
def test_a_word_is_found(word: str, text: str) -> None:
    assert found(text, words=[word]) == [word]


@pytest.mark.parametrize(("word", "text"), [("voice", "invoice"), ("invoice", "invoices"), ("a b", "a bc")])
def test_the_inside_of_another_word_is_not_it(word: str, text: str) -> None:
    assert found(text, words=[word]) is None


@given(st.text(max_size=30), st.text(max_size=30), st.text(min_size=1, max_size=10))
def test_what_is_found_is_there(before: str, after: str, word: str) -> None:
    folded, text = fold(word), fold(f"{before}{word}{after}")
    if folded:
        assert not contains_word(text, folded) or folded in text
        assert contains_word(f"{fold(before)} {folded} {fold(after)}", folded)


def test_patterns_are_found_whatever_the_case() -> None:
    assert found("see inv-12345.", patterns=[r"\bINV-\d{4,8}\b"]) == [r"\bINV-\d{4,8}\b"]
    assert found("see inv-1.", patterns=[r"\bINV-\d{4,8}\b"]) is None
    assert found("Grüße", patterns=["^grüße$"]) == ["^grüße$"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$"])
def test_a_pattern_cannot_be_made_to_hang(pattern: str) -> None:
    """Each takes exponential time with backtracking; the tests' deadline would end this one."""
    assert found("a" * 20_000 + "!", patterns=[pattern]) is None


@pytest.mark.parametrize(
    ("sender", "fits"),
    [
        ("boss@example.org", True), ("BOSS@Example.org", True), ("x@example.com", True), ("x@a.example.com", True),
        ("x@notexample.com", False), ("example.com@evil.test", False), ("x@example.org", False), ("", False),
    ],
)  # fmt: skip
def test_senders_are_addresses_or_domains(sender: str, fits: bool) -> None:
    for domain in ("example.com", "@example.com"):
        assert (found("", sender, senders=["boss@example.org", domain]) == []) is fits


def test_words_and_senders_must_both_fit() -> None:
    rule = {"words": ["help"], "senders": ["example.com"]}
    assert found("help", "a@example.com", **rule) == ["help"]
    assert found("help", "a@example.net", **rule) is None
    assert found("hello", "a@example.com", **rule) is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"patterns": ["("]}, r"number 1, pattern '\('.*remedy: "),
        ({"patterns": [r"(a)\1"]}, "neither backreferences nor"),
        ({}, "it fits every mail. remedy: give it words, patterns or senders"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, list[str]], words: str) -> None:
    with pytest.raises(HandlerLoadError, match=words):
        ready([ClassifyRule(category="c", **rule)])


def test_words_are_equal_however_they_are_composed() -> None:
    assert fold("\uff23afe\u0301\u00a0 X") == fold("caf\u00e9 x")
    marks = "a" + "\u0315\u0300" * 5000
    assert len(fold(marks)) >= len(marks) - 1
