"""The directory of blobs: whole or not there, private, and nothing left behind."""

import os
import stat
from pathlib import Path

import pytest

from fastmail_ingest.blob import draft as drafts
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.errors import BlobUnavailable, ConfigError
from fastmail_ingest.model.blob import blob_name

SPACE = "fmi-0123456789abcdef"
NAME = blob_name(SPACE, b"a:INBOX:7:1")
OTHER = blob_name(SPACE, b"a:INBOX:7:2")
HOUR_S = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> BlobDirectory:
    made = BlobDirectory(tmp_path / "blobs")
    made.prepare()
    return made


def put(store: BlobDirectory, name: str = NAME, *chunks: bytes) -> None:
    draft = store.begin()
    for chunk in chunks or (b"x",):
        draft.write(chunk)
    draft.commit(name)


def files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_written_in_pieces_is_read_as_a_whole(store) -> None:
    put(store, NAME, b"a" * 300_000, b"", b"b")
    with store.open(NAME) as file:
        assert file.read() == b"a" * 300_000 + b"b"


def test_nothing_has_the_name_before_the_commit(store, tmp_path) -> None:
    draft = store.begin()
    draft.write(b"x" * 1_000_000)
    with pytest.raises(BlobUnavailable, match="remedy: with several hosts"):
        store.open(NAME)
    draft.commit(NAME)
    assert [path.name for path in files(tmp_path)] == [NAME.partition("/")[2]]


def test_everything_is_private(store, tmp_path) -> None:
    put(store)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {
        stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "blobs").rglob("*") if path.is_dir()
    } == {0o700}
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


@pytest.mark.parametrize("ending", ["dropped", "removed", "raised"])
def test_a_draft_that_is_not_committed_leaves_nothing(store, tmp_path, ending) -> None:
    def write() -> None:
        draft = store.begin()
        draft.write(b"x" * 400_000)
        assert files(tmp_path)
        if ending == "removed":
            draft.remove()
        if ending == "raised":
            raise KeyError("reading ended here")

    if ending == "raised":
        with pytest.raises(KeyError):
            write()
    else:
        write()
    assert files(tmp_path) == []


def test_written_once_more_it_takes_the_place_of_the_first(store, tmp_path) -> None:
    put(store, NAME, b"first")
    with store.open(NAME) as reading:
        put(store, NAME, b"second")
        assert reading.read() == b"first"  # whoever reads it goes on with what he has
    with store.open(NAME) as file:
        assert file.read() == b"second"
    assert len(files(tmp_path)) == 1


def test_the_bytes_and_the_name_are_on_disk_before_commit_returns(store, monkeypatch) -> None:
    put(store, OTHER)  # the directory of this database is there
    synced: list[str] = []
    real = os.fsync
    target = store._directory / NAME

    def fsync(descriptor: int) -> None:
        synced.append(f"{os.readlink(f'/proc/self/fd/{descriptor}')} {target.exists()}")
        real(descriptor)

    monkeypatch.setattr(drafts.os, "fsync", fsync)
    put(store, NAME, b"x")
    content, names = synced
    assert "/incoming/" in content
    assert content.endswith(" False")
    assert names == f"{target.parent} True"


def test_a_full_disk_is_told_by_commit_and_the_room_given_back(store, tmp_path) -> None:
    draft = store.begin()
    with open("/dev/full", "wb") as full:  # each write to it fails with ENOSPC
        os.dup2(full.fileno(), draft._file.fileno())
        for _ in range(5):
            draft.write(b"x" * 300_000)
        assert files(tmp_path) == []
        with pytest.raises(BlobUnavailable, match=r"No space left on device\. remedy: make room"):
            draft.commit(NAME)
    assert files(tmp_path) == []


def test_a_directory_that_is_gone_is_told_by_commit_and_not_made_anew(store, tmp_path) -> None:
    for directory in (tmp_path / "blobs" / "incoming", tmp_path / "blobs"):
        directory.rmdir()
    draft = store.begin()
    draft.write(b"x")
    with pytest.raises(BlobUnavailable, match="No such file or directory"):
        draft.commit(NAME)
    assert not (tmp_path / "blobs").exists()


def test_a_directory_that_cannot_be_made_is_refused_with_a_remedy(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        ConfigError, match=r"\[blobs\] directory: cannot write to .*file/blobs.*remedy: choose"
    ):
        BlobDirectory(tmp_path / "file" / "blobs").prepare()


def test_preparing_twice_keeps_what_is_there(store) -> None:
    put(store)
    store.prepare()
    store.open(NAME).close()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "../../etc/passwd",
        "/etc/passwd",
        f"{SPACE}/../x",
        f"{NAME}\n",
        f"../{NAME}",
        "incoming/" + "0" * 32,
    ],
)
def test_a_name_that_is_none_opens_nothing_and_removes_nothing(store, name) -> None:
    with pytest.raises(BlobUnavailable, match="no name of a blob"):
        store.open(name)
    with pytest.raises(BlobUnavailable, match="no name of a blob"):
        store.begin().commit(name)
    store.remove(name)


def test_the_stored_are_told_with_their_age_by_database(store) -> None:
    put(store, NAME)
    put(store, OTHER)
    foreign = blob_name("fmi-ffffffffffffffff", b"a:INBOX:7:1")
    put(store, foreign)
    (store._directory / SPACE / "notes.txt").write_text("no blob")
    age(store, OTHER, 2 * HOUR_S)
    ages = {blob.name: blob.age_s for blob in store.stored(SPACE)}
    assert ages.keys() == {NAME, OTHER}
    assert ages[NAME] < HOUR_S < ages[OTHER]
    assert list(store.stored("fmi-eeeeeeeeeeeeeeee")) == []


def age(store: BlobDirectory, name: str, seconds: float) -> None:
    path = store._directory / name
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)


def test_renewing_makes_young_and_says_when_it_is_gone(store) -> None:
    draft = store.begin()
    draft.commit(NAME)
    age(store, NAME, 2 * HOUR_S)
    draft.renew()
    (blob,) = store.stored(SPACE)
    assert blob.age_s < HOUR_S
    store.remove(NAME)
    with pytest.raises(BlobUnavailable):
        draft.renew()


def test_removing_what_is_not_there_is_nothing(store) -> None:
    put(store)
    store.remove(NAME)
    store.remove(NAME)
    assert list(store.stored(SPACE)) == []


def test_only_old_drafts_are_swept(store, tmp_path) -> None:
    old, young = store.begin(), store.begin()
    age(store, f"incoming/{old._place.name}", 2 * HOUR_S)
    assert store.sweep_drafts(HOUR_S) == 1
    assert files(tmp_path) == [young._place]
    old.write(b"x")
    with pytest.raises(BlobUnavailable):  # whoever has it yet must write it once more
        old.commit(NAME)
    young.commit(NAME)
