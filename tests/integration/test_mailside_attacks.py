"""What strangers put into archives, token files and answers: a clear error, bounded memory, nothing lost in silence."""

import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmail_ingest.archive import normal
from fastmail_ingest.archive.find import find
from fastmail_ingest.archive.split import Piece, Splitter
from fastmail_ingest.credential.client_file import read_client
from fastmail_ingest.errors import ArchiveError, ConfigError
from fastmail_ingest.model.archived import Archived

MIB = 1 << 20
MAX_MAIL = 50 * MIB
FROM = b"From a@b.example Sat Jan  3 01:05:34 1996\n"
MAIL = FROM + b"Subject: x\n\nhello\n\n"


def read(path: Path) -> tuple[int, str]:
    """How many mails can be read, and what is said when it cannot be read on."""
    count = 0
    try:
        for archive in find(path, pytest.fail):
            for _ in archive.mails(0, MAX_MAIL):
                count += 1
    except ArchiveError as error:
        return count, str(error)
    return count, ""


def peak_bytes(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def tar(path: Path, members: int = 4, format_: int = tarfile.PAX_FORMAT) -> bytes:
    with tarfile.open(path, "w", format=format_) as made:
        for number in range(members):
            member = tarfile.TarInfo(f"{number}.mbox")
            member.size = len(MAIL)
            made.addfile(member, io.BytesIO(MAIL))
    return path.read_bytes()


# --- mbox ----------------------------------------------------------------------------------------------


def test_a_long_line_that_begins_like_a_mail_is_looked_at_once() -> None:
    # Were all of it tried as a date, this would go on for hours.
    line = b"From " + b"1:11" * MIB
    source = io.BytesIO(MAIL + line + b"\n\n" + MAIL)
    pieces = list(Splitter(source.read, 0, MAX_MAIL).pieces())
    assert [line in piece.raw for piece in pieces] == [True, False]


@pytest.mark.parametrize("header", [b"A: b\nStatus: ", b"A: b\nX-Keywords: ", b"X-Gmail-Labels: "])
@pytest.mark.parametrize("filling", [b"x", b"\n x"])
def test_a_long_header_takes_no_more_memory_than_its_bytes(header: bytes, filling: bytes) -> None:
    raw = header + filling * (4 * MIB // len(filling)) + b"\n\nbody\n"
    made: list[Archived] = []
    peak = peak_bytes(lambda: made.append(normal.from_mbox(Piece(FROM, raw, len(raw), len(raw)), MAX_MAIL)))
    assert peak < 8 * len(raw)
    assert b"xxx" not in made[0].raw


def test_endless_labels_are_cut() -> None:
    # What decodes them takes the square of the time: this many, for hours.
    assert 0 < len(normal.labels_of(b"=?utf-8?q?a=2C?= " * MIB)) < MIB


def test_an_mbox_that_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(MAIL)
    (archive,) = find(path, pytest.fail)
    mails = archive.mails(0, MAX_MAIL)
    next(mails)
    with path.open("ab") as file:
        file.write(MAIL[:-8])
    with pytest.raises(ArchiveError, match="was written while it was read"):
        list(mails)


# --- tar and zip ---------------------------------------------------------------------------------------


def test_a_damaged_header_is_not_the_end_of_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    raw = bytearray(tar(path))
    raw[2 * 1024 + 10] ^= 0xFF
    path.write_bytes(raw)
    count, problem = read(path)
    assert count == 2
    assert "damaged, or cut off" in problem


@pytest.mark.parametrize("left", [2 * 1024, 2 * 1024 + 100])
def test_a_tar_that_is_cut_between_two_files_is_no_whole_one(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar(path)[:left])
    count, problem = read(path)
    assert count == 2
    assert "damaged, or cut off" in problem


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_in_a_tar_does_not_fill_the_memory(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    head, _, end = tar(path).partition(bytes(1024))
    bomb = tarfile.TarInfo("x")
    bomb.type, bomb.size = kind, 64 * MIB
    head += bytes(-len(head) % 512)
    path.write_bytes(head + bomb.tobuf(tarfile.GNU_FORMAT) + bytes(64 * MIB) + end)
    found: list[tuple[int, str]] = []
    assert peak_bytes(lambda: found.append(read(path))) < 8 * MIB
    assert found[0][0] == 4
    assert "a name of 67108864 bytes" in found[0][1]


@pytest.mark.parametrize(
    "facts",
    [
        {"GNU.sparse.size": str(1 << 60), "GNU.sparse.numblocks": "0", "GNU.sparse.map": "0,0"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 60)},
    ],
    ids=["0.1", "1.0"],
)
def test_a_file_with_endless_holes_is_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        member = tarfile.TarInfo("0.mbox")
        member.size = len(MAIL)
        member.pax_headers = facts
        made.addfile(member, io.BytesIO(MAIL))
    count, problem = read(path)
    assert count == 0
    assert "a file with holes" in problem


def test_a_zip_that_is_packed_in_another_way_and_damaged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("m.mbox", MAIL * 1000)
    raw = bytearray(path.read_bytes())
    at = raw.find(b"m.mbox") + 40
    raw[at : at + 8] = b"\xff" * 8
    path.write_bytes(raw)
    assert "cannot be read on" in read(path)[1]


# --- the files of OAuth2 -------------------------------------------------------------------------------


def test_a_client_file_that_is_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="expected a file, got something else"):
        read_client(str(path))


def test_a_client_file_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_bytes(b'{"x": ' + b"[" * 60_000)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not the JSON file"):
        read_client(str(path))
