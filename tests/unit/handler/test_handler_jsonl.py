"""Lines of JSON: one a mail, none torn, none doubled, whoever is killed at whatever point."""

import base64
import errno
import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.kept_mail import CLASSIFIED, PLAIN, WITH_ATTACHMENT, classified, deaths, mail

from fastmail_ingest.config.boxed_files import JsonlConfig
from fastmail_ingest.errors import ConfigError, HandlerLoadError
from fastmail_ingest.handler import line_files
from fastmail_ingest.handler.jsonl import Jsonl
from fastmail_ingest.handler.line_files import INDEX_NAME, LineFiles, Rotation

NOW = 1_764_000_000.0  # 2025-11-24 16:00 UTC
DAY_S = 86400.0


def handler(directory: Path, **settings: Any) -> Jsonl:
    made = Jsonl(JsonlConfig(directory=str(directory), **settings), 90)
    made.startup()
    return made


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("mails-*.jsonl"))


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in files(directory) for line in path.read_bytes().splitlines()]


def ids(directory: Path) -> list[str]:
    return [line["id"] for line in lines(directory)]


def expected(count: int) -> list[str]:
    return [f"a:INBOX:7:{uid}" for uid in range(count)]


def test_a_line_holds_the_mail(tmp_path: Path) -> None:
    handler(tmp_path, raw=True)([mail(0), mail(1, WITH_ATTACHMENT)])
    first, second = lines(tmp_path)
    assert (first["subject"], first["sender"], first["sender_name"]) == ("Grüße", "ann@example.org", "Ann")
    assert first["to"] == [
        {"name": "Bob", "address": "bob@example.com"},
        {"name": "", "address": "c@example.com"},
    ]
    assert first["cc"] == [{"name": "", "address": "d@example.com"}]
    assert (first["date"], first["text"].strip()) == ("2025-01-06T08:00:00Z", "Hello Bob")
    assert base64.b64decode(first["raw"]) == PLAIN
    assert second["attachments"] == [{"filename": "a.pdf", "content_type": "application/pdf"}]


def test_a_classification_is_in_the_line(tmp_path: Path) -> None:
    handler(tmp_path)([mail(0), classified(1)])
    first, second = lines(tmp_path)
    assert "classification" not in first
    assert second["classification"] == CLASSIFIED


def test_how_much_of_the_text_is_written(tmp_path: Path) -> None:
    handler(tmp_path / "preview", text="preview")([mail(0)])
    handler(tmp_path / "none", text="none")([mail(0)])
    (preview,), (none,) = lines(tmp_path / "preview"), lines(tmp_path / "none")
    assert preview["preview"] == "Hello Bob"
    assert "text" not in preview
    assert not {"text", "preview", "raw"} & none.keys()


def test_a_mail_that_comes_again_gets_no_second_line(tmp_path: Path) -> None:
    one, other = handler(tmp_path), handler(tmp_path)  # as two workers have them
    one([mail(0), mail(1)])
    other([mail(1, attempt=2), mail(2), mail(2)])
    one([mail(0), mail(3)])
    assert ids(tmp_path) == expected(4)


def test_files_are_private(tmp_path: Path) -> None:
    handler(tmp_path / "new")([mail(0)])
    found = [tmp_path / "new", *(tmp_path / "new").iterdir()]
    assert [path.stat().st_mode & 0o077 for path in found] == [0] * len(found)


@pytest.mark.parametrize("patch", [(os, "fsync"), (line_files, "_is_new"), (line_files, "sync_directory")])
def test_killed_at_whatever_point_each_mail_has_one_line(tmp_path: Path, patch: tuple[object, str]) -> None:
    mails = [mail(uid, attempt=2) for uid in range(5)]

    def write(directory: Path) -> None:
        handler(directory, rotate_bytes=300)(mails[:3])
        handler(directory, rotate_bytes=300)(mails[3:])

    for left in deaths(write, tmp_path, patch):
        handler(left, rotate_bytes=300)(mails)
        assert sorted(ids(left)) == expected(5)


def test_what_a_kill_left_torn_is_cut_off_and_whole_lines_are_taken_over(tmp_path: Path) -> None:
    first = handler(tmp_path)
    first([mail(0)])
    (path,) = files(tmp_path)
    whole = path.read_bytes().replace(b":7:0", b":7:1")
    with path.open("ab") as file:
        file.write(whole + whole.replace(b":7:1", b":7:2")[:50])
    first([mail(1, attempt=2), mail(2, attempt=2)])
    assert ids(tmp_path) == expected(3)


def test_startup_cuts_off_a_torn_line(tmp_path: Path) -> None:
    handler(tmp_path)([mail(0)])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "a:INB')
    handler(tmp_path)
    assert path.read_bytes() == whole


def test_what_a_machine_without_power_left_is_cut_off(tmp_path: Path) -> None:
    handler(tmp_path)([mail(0)])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(100) + b"\n" + whole.replace(b":7:0", b":7:1"))
    handler(tmp_path)([mail(1, attempt=2)])
    assert ids(tmp_path) == expected(2)


def test_a_lost_index_is_made_anew_and_what_others_wrote_stays(tmp_path: Path) -> None:
    first = handler(tmp_path)
    first([mail(0), mail(1)])
    first.shutdown()
    (path,) = files(tmp_path)
    zero, one = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(zero + b"a note\n" + one + b'{"id": "torn')
    for left in tmp_path.glob(f"{INDEX_NAME}*"):
        left.unlink()
    handler(tmp_path)([mail(uid, attempt=2) for uid in range(3)])
    kept = path.read_bytes().splitlines(keepends=True)
    assert kept[:3] == [zero, b"a note\n", one]
    assert [json.loads(line)["id"] for line in kept[3:]] == ["a:INBOX:7:2"]


def test_files_that_were_taken_away_are_not_missed(tmp_path: Path) -> None:
    first = handler(tmp_path)
    first([mail(0)])
    files(tmp_path)[0].unlink()
    first([mail(0, attempt=2), mail(1)])
    assert ids(tmp_path) == ["a:INBOX:7:1"]


def test_a_new_file_above_the_size(tmp_path: Path) -> None:
    first = handler(tmp_path, rotate_bytes=1)
    for uid in range(3):
        first([mail(uid)])
    assert [path.name[-10:] for path in files(tmp_path)] == ["0001.jsonl", "0002.jsonl", "0003.jsonl"]
    assert ids(tmp_path) == expected(3)


def line_of(key: str) -> tuple[str, bytes]:
    return key, json.dumps({"id": key}).encode() + b"\n"


def test_a_new_file_each_day_and_keys_are_forgotten(tmp_path: Path) -> None:
    made = LineFiles("[jsonl] directory", tmp_path, Rotation(0, daily=True, keep_days=2))
    for day in range(3):
        made.append([line_of("a"), line_of(f"day {day}")], NOW + day * DAY_S)
    assert [path.name for path in files(tmp_path)] == [
        "mails-2025-11-24.0001.jsonl", "mails-2025-11-25.0001.jsonl", "mails-2025-11-26.0001.jsonl",
    ]  # fmt: skip
    assert ids(tmp_path) == ["a", "day 0", "day 1", "day 2"]
    made.append([line_of("a")], NOW + 3 * DAY_S)
    assert ids(tmp_path)[-1] == "a"


def test_one_file_for_ever(tmp_path: Path) -> None:
    made = LineFiles("[jsonl] directory", tmp_path, Rotation(0, daily=False, keep_days=2))
    for day in range(3):
        made.append([line_of(f"day {day}")], NOW + day * DAY_S)
    assert len(files(tmp_path)) == 1


def test_a_mail_that_cannot_be_written_takes_no_other_with_it(tmp_path: Path) -> None:
    class Unreadable(type(mail(1))):  # type: ignore[misc]
        @property
        def subject(self) -> str:
            raise OSError("its file is gone")

    bad = Unreadable(mail(1)._envelope)
    first = handler(tmp_path)
    with pytest.raises(OSError, match="gone"):
        first([mail(0), bad, mail(2)])
    first([mail(0, attempt=2)])
    first([mail(2, attempt=2)])
    assert ids(tmp_path) == ["a:INBOX:7:0", "a:INBOX:7:2"]


def test_lines_are_made_while_others_may_write(tmp_path: Path) -> None:
    one, other = handler(tmp_path), handler(tmp_path)

    class Slow(type(mail(1))):  # type: ignore[misc]
        @property
        def subject(self) -> str:
            other([mail(7)])  # would wait for the index if it were locked
            return super().subject

    one([Slow(mail(0)._envelope)])
    assert ids(tmp_path) == ["a:INBOX:7:7", "a:INBOX:7:0"]


def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = handler(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            first([mail(0), mail(1)])
    first([mail(1, attempt=2), mail(0, attempt=2), mail(2)])
    assert sorted(ids(tmp_path)) == expected(3)


def test_a_wrong_place_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below", Path("a\0b")):
        with pytest.raises(HandlerLoadError, match=r"\[jsonl\] directory.*remedy: "):
            Jsonl(JsonlConfig(directory=str(wrong)), 90)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_index_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / INDEX_NAME) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(ConfigError, match="another program"):
        handler(tmp_path)


def _dies_behind(directory: Path, file: str, mails: list[int]) -> tuple[int, int]:
    """A process that writes these mails, and dies when this file's lines are on disk but the index knows nothing."""
    ready, go = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        made, really = handler(directory, rotate_bytes=600), os.fsync

        def fsync(number: int) -> None:
            really(number)
            if os.readlink(f"/proc/self/fd/{number}").endswith(file):
                os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = fsync
        os.write(ready[1], b".")
        os.read(go[0], 1)
        made([mail(number) for number in mails])
        os._exit(1)
    os.read(ready[0], 1)
    return pid, go[1]


def test_two_deaths_around_a_new_file_double_nothing(tmp_path: Path) -> None:
    handler(tmp_path, rotate_bytes=600)([mail(0)])
    first = _dies_behind(tmp_path, "0001.jsonl", [1, 2, 3])
    second = _dies_behind(tmp_path, "0002.jsonl", [4])
    for pid, go in (first, second):
        os.write(go, b".")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    handler(tmp_path, rotate_bytes=600)([mail(number) for number in range(1, 5)])
    assert sorted(ids(tmp_path)) == expected(5)


def test_a_directory_that_is_taken_away_is_made_anew(tmp_path: Path) -> None:
    made = handler(tmp_path / "kept")
    made([mail(0)])
    (tmp_path / "kept").rename(tmp_path / "old")
    made([mail(1)])
    assert ids(tmp_path / "old") + ids(tmp_path / "kept") == expected(2)
