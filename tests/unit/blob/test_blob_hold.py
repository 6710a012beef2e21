"""The hold of a backup: no blob that the snapshot may name is gone before it ends, and nothing stays after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.errors import BlobUnavailable
from fastmail_ingest.model.blob import blob_name

SPACE = "fmi-0123456789abcdef"
NAMES = [blob_name(SPACE, b"a:INBOX:7:%d" % uid) for uid in range(3)]
HOUR_S = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> BlobDirectory:
    made = BlobDirectory(tmp_path / "blobs")
    made.prepare()
    return made


def put(store: BlobDirectory, name: str):
    draft = store.begin()
    draft.write(name.encode())
    draft.commit(name)
    return draft


def bytes_of(store: BlobDirectory, space: str = SPACE) -> dict[str, bytes]:
    found = {}
    for name, places in store.held(space):
        place = next(place for place in places if place.exists())
        found[name] = place.read_bytes()
    return found


def test_what_is_removed_during_the_hold_is_held(store) -> None:
    put(store, NAMES[0])
    with store.holding():
        put(store, NAMES[1])
        draft = put(store, NAMES[2])
        store.remove(NAMES[0])
        store.remove(NAMES[1])
        draft.remove()
        assert not any(store.has(name) for name in NAMES)
        assert bytes_of(store) == {name: name.encode() for name in NAMES}
    assert bytes_of(store) == {}


def test_what_is_removed_before_and_after_is_gone(store, tmp_path) -> None:
    put(store, NAMES[0])
    store.remove(NAMES[0])
    with store.holding():
        assert bytes_of(store) == {}
    put(store, NAMES[1])
    store.remove(NAMES[1])
    left = [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert left == ["held.lock"]


def test_a_blob_that_is_removed_while_they_are_listed_is_found_where_it_went(store) -> None:
    for name in NAMES:
        put(store, name)
    with store.holding():
        found = {}
        for name, places in store.held(SPACE):
            for each in NAMES:
                store.remove(each)
            found[name] = [place.read_bytes() for place in places if place.exists()]
        assert found == {name: [name.encode()] for name in NAMES}


def test_blobs_of_other_databases_are_not_held_for_this_one(store) -> None:
    other = blob_name("fmi-ffffffffffffffff", b"x")
    put(store, other)
    with store.holding():
        store.remove(other)
        assert bytes_of(store) == {}
        assert list(bytes_of(store, "fmi-ffffffffffffffff")) == [other]


def test_two_backups_at_once_are_refused(store) -> None:
    with store.holding():
        with pytest.raises(BlobUnavailable, match="remedy: wait"), store.holding():
            raise AssertionError("never entered")
        put(store, NAMES[0])
        store.remove(NAMES[0])
        assert list(bytes_of(store)) == [NAMES[0]]


def test_the_hold_of_a_killed_backup_ends_at_the_next_sweep(store, tmp_path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom fastmail_ingest.blob.directory import BlobDirectory\n"
        "with BlobDirectory(Path(sys.argv[1])).holding():\n    print('held', flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "blobs")]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (killed.stdout, killed.returncode) == ("held\n", -9)
    put(store, NAMES[0])
    store.remove(NAMES[0])
    assert list(bytes_of(store)) == [NAMES[0]]
    store.sweep_drafts(HOUR_S)
    assert bytes_of(store) == {}
    assert not (tmp_path / "blobs/held").exists()


def test_the_sweep_leaves_a_living_hold_alone(store) -> None:
    put(store, NAMES[0])
    with store.holding():
        store.remove(NAMES[0])
        store.sweep_drafts(HOUR_S)
        assert list(bytes_of(store)) == [NAMES[0]]


def test_a_hold_that_cannot_be_cleared_says_so_instead_of_going_on_for_ever(
    store, tmp_path, monkeypatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("fastmail_ingest.blob.hold.shutil.rmtree", refuse)
    with pytest.raises(PermissionError), store.holding():
        pass
    assert os.listdir(tmp_path / "blobs/held") == []
