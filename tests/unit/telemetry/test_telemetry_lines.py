"""One record is one line, whatever a mail put into it."""

import logging
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.model.scope import Scope, log_scope
from fastmail_ingest.telemetry.lines import ROW, JsonLines, TextLines

PLANTED = "a\nb\rc\x1b[2Jd\u2028e\u2029f\x00g\x9b31mh\x85i\u202ej\x7fk\U000e0001l\x0bm\x1cn"
WHOLE_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("a.logger", logging.WARNING, "file.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def record_of(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except Exception:
        return record("it failed", exc_info=sys.exc_info())


@given(WHOLE_TEXT)
def test_a_json_line_is_one_line_and_keeps_the_message(text: str) -> None:
    line = JsonLines().format(record("mail: %s", text))
    assert line.isprintable()
    assert orjson.loads(line)["message"] == f"mail: {text}"


def test_what_a_stranger_plants_begins_no_line_and_moves_no_cursor() -> None:
    planted = record(
        PLANTED, correlation_id=PLANTED, account=PLANTED, mailbox=PLANTED,
        mail={"subject": PLANTED, PLANTED: [PLANTED, ("\udcff", {"deep": PLANTED})], "size": 1 << 70},
    )  # fmt: skip
    planted.name = PLANTED
    line = JsonLines().format(planted)
    assert line.isprintable()
    assert line.splitlines() == [line]
    found = orjson.loads(line)
    assert {found[name] for name in ("message", "correlation_id", "account", "mailbox", "logger")} == {
        PLANTED
    }
    assert found["mail"] == {
        "subject": PLANTED,
        PLANTED: [PLANTED, ["?", {"deep": PLANTED}]],
        "size": str(1 << 70),
    }
    assert TextLines(color=False).format(planted).isprintable()


def test_a_json_line_says_who_and_what() -> None:
    line = orjson.loads(JsonLines().format(record("hello", correlation_id="c" * 32)))
    assert (line["level"], line["logger"], line["correlation_id"]) == ("warning", "a.logger", "c" * 32)
    assert "correlation_id" not in orjson.loads(JsonLines().format(record("hello")))


def test_a_json_line_holds_the_traceback() -> None:
    line = JsonLines().format(record_of(ValueError("evil\n{forged}")))
    assert "\n" not in line
    assert "ValueError: evil\n{forged}" in orjson.loads(line)["error"]


def test_a_line_says_what_its_thread_is_busy_with_unless_it_knows_better() -> None:
    with log_scope(Scope("5" * 32, "support", "INBOX")):
        found = orjson.loads(JsonLines().format(record("hello")))
        assert [found[name] for name in ("correlation_id", "account", "mailbox")] == [
            "5" * 32,
            "support",
            "INBOX",
        ]
        assert TextLines(color=False).format(record("hello")).endswith(" warning: hello [55555555]")
        other = orjson.loads(JsonLines().format(record("hello", correlation_id="6" * 32)))
        assert other["correlation_id"] == "6" * 32


def test_arguments_that_do_not_fit_do_not_cost_the_line() -> None:
    wrong = record("%d mails", "three")
    assert orjson.loads(JsonLines().format(wrong))["message"] == (
        "%d mails (its arguments do not fit: TypeError)"
    )


def test_half_a_character_does_not_lose_the_json_line() -> None:
    assert "mail" in orjson.loads(JsonLines().format(record("mail %s", "\udcff")))["message"]


@given(st.text())
def test_a_text_line_drives_no_terminal(text: str) -> None:
    assert TextLines(color=False).format(record("%s", text)).isprintable()


@pytest.mark.parametrize("color", [True, False])
def test_color_is_only_where_it_is_wanted(color: bool) -> None:
    assert ("\033[" in TextLines(color).format(record("hello"))) is color


def test_the_text_of_an_error_drives_no_terminal() -> None:
    assert "\x1b" not in TextLines(color=False).format(record_of(ValueError("\x1b[2J")))


def test_no_row_of_an_error_looks_like_a_line_of_its_own() -> None:
    forged = "evil\n12:00:00.000 worker-0     error: all is lost\u2028and more"
    first, *rows = TextLines(color=False).format(record_of(ValueError(forged))).split("\n")
    assert first.endswith("warning: it failed")
    assert rows
    assert all(row.startswith(ROW) and row.isprintable() for row in rows)
