"""What a checker says of a snapshot, and what is said where it says nothing."""

from pathlib import Path

import pytest

from fastmail_ingest.errors import BackupError, UncheckedSnapshot
from fastmail_ingest.stream.rdb import RdbFacts, check_rdb, check_with_any


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "a.rdb"
    path.write_bytes(b"REDIS0010 and more")
    return path


def checker(tmp_path: Path, script: str, name: str = "fake-server") -> Path:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


GOOD = (
    "echo \"[offset 27] AUX FIELD valkey-ver = '9.1.2'\"; echo \"[offset 5] AUX FIELD ctime = '1764000000'\""
)
NEWER = "echo '--- RDB ERROR DETECTED ---'; echo \"[offset 9] Can't handle RDB format version 99\"; exit 1"
CUT = "echo '--- RDB ERROR DETECTED ---'; echo '[offset 812] Unexpected EOF reading RDB file'; exit 1"
INTERNAL = (
    "echo '[offset 3] Internal error in RDB reading offset 0, function at rdb.c:474 -> Invalid LZF'; exit 1"
)


def test_facts(tmp_path, snapshot) -> None:
    assert check_rdb(snapshot, checker(tmp_path, GOOD), 10) == RdbFacts("valkey 9.1.2", 1_764_000_000.0)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (NEWER, UncheckedSnapshot, "format REDIS0010"),
        (CUT, BackupError, "Unexpected EOF reading RDB file at byte 812"),
        (INTERNAL, BackupError, "Invalid LZF"),
        ("printf '\\377\\376'; exit 1", BackupError, "is damaged or was cut off"),
        ("kill -9 $$", UncheckedSnapshot, "ended by signal 9, so nothing is known"),
        ("exec sleep 60", UncheckedSnapshot, "within 0.2 s"),
    ],
)
def test_what_it_complains_of(tmp_path, snapshot, script, kind, words) -> None:
    with pytest.raises(BackupError, match=words) as caught:
        check_rdb(snapshot, checker(tmp_path, script), 0.2 if "sleep" in script else 10)
    assert type(caught.value) is kind
    assert "remedy: " in str(caught.value)


def test_the_checker_beside_a_server_goes_first(tmp_path, snapshot) -> None:
    server = checker(tmp_path, "exit 1")
    checker(tmp_path, GOOD, "fake-check-rdb")
    assert check_rdb(snapshot, server, 10).server == "valkey 9.1.2"


def test_the_first_that_can_read_it_is_taken(tmp_path, snapshot) -> None:
    binaries = [checker(tmp_path, script, name) for script, name in ((NEWER, "a"), (GOOD, "b"), (CUT, "c"))]
    assert check_with_any(snapshot, binaries, 10)[0] == binaries[1]
    with pytest.raises(BackupError, match="Unexpected EOF"):
        check_with_any(snapshot, [binaries[0], binaries[2]], 10)
    with pytest.raises(UncheckedSnapshot):
        check_with_any(snapshot, binaries[:1], 10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"REDIS", "is no snapshot"),
        (b"redis0010.", "is no snapshot"),
        (b"\x1f\x8b...", "is no snapshot"),
    ],
)
def test_what_does_not_begin_like_one(tmp_path, snapshot, content, words) -> None:
    snapshot.write_bytes(content)
    with pytest.raises(BackupError, match=words):
        check_rdb(snapshot, checker(tmp_path, GOOD), 10)
