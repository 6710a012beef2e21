"""What is too much of a mail is cut off, said, and costs nothing else of it."""

import pytest
from support.everything import email_of

from fastmail_ingest.model.mime.bounds import (
    HEADER_BYTES_MAX,
    HEADER_LINES_MAX,
    MAIL_BYTES_MAX,
    PARTS_MAX,
    WORDS_MAX,
    bounded,
)

TEXT = b"Content-Type: text/plain\r\n\r\nhello"
MULTIPART = b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"


def test_an_honest_mail_is_left_alone() -> None:
    raw = b"Subject: x\r\n" + TEXT
    found = bounded(raw)
    assert found.whole is raw
    assert (found.head, found.defects) == (b"Subject: x\r\nContent-Type: text/plain\r\n", [])


@pytest.mark.parametrize(
    ("head", "defect"),
    [
        (b"X: " + b"y" * HEADER_BYTES_MAX + b"\r\n", f"only the first {HEADER_BYTES_MAX}"),
        (b"X: y\r\n" * HEADER_LINES_MAX, f"more than {HEADER_LINES_MAX} lines"),
        (b"X: " + b"=?utf-8?q?a?= " * (WORDS_MAX + 1) + b"\r\n", f"more than {WORDS_MAX} encoded-words"),
    ],
    ids=["bytes", "lines", "words"],
)
def test_too_much_of_headers(head: bytes, defect: str) -> None:
    email = email_of(b"Subject: first\r\n" + head + b"To: last@b.c\r\n\r\nbody")
    assert email.subject == "first"
    assert email.text == "body"
    assert any(defect in each for each in email.defects)


def test_too_many_parts() -> None:
    part = b"--b\r\nContent-Type: application/x-data\r\n\r\n" + b"x" * 250 + b"\r\n"
    email = email_of(MULTIPART + b"--b\r\n" + TEXT + b"\r\n" + part * (PARTS_MAX + 100) + b"--b--")
    assert email.text == "hello"
    assert len(email.attachments) == PARTS_MAX - 1
    assert any(f"more than {PARTS_MAX}" in each for each in email.defects)


def test_dashes_that_are_no_parts_do_not_count() -> None:
    patch = b"--- a/file\r\n+++ b/file\r\n" * 20_000
    email = email_of(MULTIPART + b"--b\r\n\r\n" + patch + b"--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--")
    assert (len(email.text), len(email.attachments), email.defects) == (len(patch) - 2, 1, [])


def test_a_mail_larger_than_any_server_takes() -> None:
    raw = MULTIPART + b"--b\r\n" + TEXT + b"\r\n--b\r\nContent-Type: a/b\r\n\r\n" + bytes(MAIL_BYTES_MAX)
    email = email_of(raw)
    assert (email.text, email.size) == ("hello", len(raw))
    assert any(each.startswith("size:") for each in email.defects)


@pytest.mark.parametrize("prefix", [b"From a@b Mon Jan  1 00:00:00 2024\r\n", b">From a@b Mon\n"])
def test_the_line_of_an_mbox_is_no_header(prefix: bytes) -> None:
    email = email_of(prefix + b"Subject: x\r\n\r\nbody")
    assert (email.subject, email.text, list(email.headers)) == ("x", "body", ["Subject"])


def test_lines_that_end_with_cr_alone() -> None:
    email = email_of(b"Subject: x\rTo: a@b.c\r\rbody")
    assert (email.subject, email.to[0].address, email.text) == ("x", "a@b.c", "body")


def test_a_space_before_the_colon() -> None:
    email = email_of(b"Subject : x\r\nFrom : a@b.c\r\n\r\nbody")
    assert (email.subject, email.sender) == ("x", "a@b.c")


@pytest.mark.parametrize("header", [b"multipart/mixed", b"multipart/mixed; boundary=never"])
def test_a_container_of_nothing_is_text(header: bytes) -> None:
    email = email_of(b"Content-Type: " + header + b"\r\n\r\nhello\r\n")
    assert email.text.strip() == "hello"
    assert email.defects == ["parts: none begins in a multipart, what is in it is read as text"]
