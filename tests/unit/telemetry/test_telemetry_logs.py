"""One record is one line, whatever a mail put into it."""

import logging
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.telemetry.logs import JsonLines, TextLines

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
    assert not {"\n", "\r", "\x1b", "\x00"} & set(line)
    assert orjson.loads(line)["message"] == f"mail: {text}"


def test_a_json_line_says_who_and_what() -> None:
    line = orjson.loads(JsonLines().format(record("hello", correlation_id="c" * 32)))
    assert (line["level"], line["logger"], line["correlation_id"]) == ("warning", "a.logger", "c" * 32)
    assert "correlation_id" not in orjson.loads(JsonLines().format(record("hello")))


def test_a_json_line_holds_the_traceback() -> None:
    line = JsonLines().format(record_of(ValueError("evil\n{forged}")))
    assert "\n" not in line
    assert "ValueError: evil\n{forged}" in orjson.loads(line)["error"]


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
