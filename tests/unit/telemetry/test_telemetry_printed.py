"""What is printed becomes lines of the log's form, about the mail during which it was printed."""

import io
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from fastmail_ingest.model.scope import Scope, log_scope
from fastmail_ingest.telemetry.lines import JsonLines
from fastmail_ingest.telemetry.printed import LINE_CHARS_MAX, Printed

ONE, OTHER = Scope("1" * 32, "a", "INBOX"), Scope("2" * 32, "a", "INBOX")


class Below:
    """A stream of bytes with its text stream, and what came."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        self.text = io.TextIOWrapper(self.bytes, "utf-8", "backslashreplace")
        self.handler = logging.StreamHandler(self.text)
        self.handler.setFormatter(JsonLines())
        self.out = Printed(self.handler, "stdout")

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.bytes.getvalue().splitlines()]


@pytest.fixture
def below() -> Below:
    return Below()


def test_a_print_is_a_line_about_its_mail(below: Below) -> None:
    with log_scope(ONE):
        print("hello", 7, file=below.out)
    (line,) = below.lines()
    assert (line["message"], line["logger"], line["level"]) == ("hello 7", "stdout", "info")
    assert (line["correlation_id"], line["account"], line["mailbox"]) == ONE


def test_what_is_printed_can_forge_nothing(below: Below) -> None:
    print('one\n{"level": "error"}\x1b[2J\r\u2028 \udcff', file=below.out)
    first, second = below.lines()
    assert (first["message"], second["message"]) == ("one", '{"level": "error"}\x1b[2J\r\u2028 ?')
    assert second["level"] == "info"
    assert below.bytes.getvalue().decode().replace("\n", "").isprintable()


def test_a_line_that_was_begun_belongs_to_the_mail_that_began_it(below: Below) -> None:
    with log_scope(ONE):
        print("begun", end="", file=below.out)
        print(" and ended", file=below.out)
        print("begun", end="", file=below.out)
    with log_scope(OTHER):
        print("other", file=below.out)
        print("flushed", end="", flush=True, file=below.out)
    assert [(line["message"], line["correlation_id"][0]) for line in below.lines()] == [
        ("begun and ended", "1"), ("begun", "1"), ("other", "2"), ("flushed", "2"),
    ]  # fmt: skip


def test_threads_do_not_tear_each_others_lines(below: Below) -> None:
    together = threading.Barrier(4)

    def talk(number: int) -> None:
        together.wait()
        with log_scope(Scope(str(number) * 32)):
            for _ in range(200):
                print(number, number, number, file=below.out)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(talk, range(4)))
    lines = below.lines()
    assert len(lines) == 800
    assert all(line["message"] == " ".join(line["correlation_id"][:3]) for line in lines)


def test_a_line_without_end_comes_in_pieces(below: Below) -> None:
    print("x" * (2 * LINE_CHARS_MAX + 5), file=below.out)
    assert [len(line["message"]) for line in below.lines()] == [LINE_CHARS_MAX, LINE_CHARS_MAX, 5]
    print("y" * (LINE_CHARS_MAX + 1), end="", file=below.out)
    assert len(below.lines()) == 4


def test_nothing_is_no_line(below: Below) -> None:
    print(file=below.out)
    print("  ", file=below.out)
    below.out.flush()
    assert below.lines() == []


def test_bytes_go_out_as_they_are(below: Below) -> None:
    below.out.buffer.write(b"raw\n")
    assert below.bytes.getvalue() == b"raw\n"


def test_a_stream_that_takes_nothing_fails_no_mail(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging tells its trouble on sys.stderr, which is such a stream, too."""
    monkeypatch.setattr(sys, "stderr", below.out)
    below.text.close()
    print("hello", file=below.out)
    below.handler.handle(logging.LogRecord("a", logging.INFO, "", 0, "hello", (), None))
