"""The directory of backups: whole or not there, and the newest kept."""

import stat
from pathlib import Path

import msgspec
import pytest

from fastmail_ingest.app.backup import copying
from fastmail_ingest.app.backup import manifest as manifests
from fastmail_ingest.app.backup.manifest import FORMAT, Manifest
from fastmail_ingest.app.backup.show import verified
from fastmail_ingest.app.backup.store import BackupStore, Stored
from fastmail_ingest.errors import BackupError, ConfigError
from fastmail_ingest.model.tally import Tally

DAY_S = 86_400
AT = 1_764_000_000.0
BYTES = b"REDIS0010 and so on"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def store(directory: Path) -> BackupStore:
    made = BackupStore(directory)
    made.prepare()
    return made


def manifest(at: float, **more: object) -> Manifest:
    plain = Manifest(
        format=FORMAT, taken_at=at, program="1", server="redis 7.0.15", prefix="fmi", rdb_bytes=len(BYTES),
        rdb_sha256="", blob_space="fmi-0123456789abcdef", blob_count=0, blob_bytes=0, counts=Tally(lanes=3),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **more)


def make(store: BackupStore, at: float, blobs: int = 0, **more: object) -> Path:
    with store.begun(at) as draft:
        draft.rdb.write_bytes(BYTES)
        copied = copying.hashed(draft.rdb, lambda _: None)
        if blobs:
            draft.blobs.mkdir()
            for number in range(blobs):
                (draft.blobs / f"{number:032}").write_bytes(b"x" * 10)
        facts = {"rdb_sha256": copied.sha256, "blob_count": blobs, "blob_bytes": 10 * blobs, **more}
        return draft.publish(manifest(at, **facts))


def states(store: BackupStore) -> dict[str, str]:
    return {each.path.name: verified(each, lambda _: None).problem for each in store.all()}


def test_a_backup_is_found_whole_and_private(store, directory) -> None:
    path = make(store, AT, blobs=2)
    assert path.name == "fastmail-ingest-20251124T160000Z.rdb"
    (found,) = store.all()
    assert (found.path, found.problem, found.manifest.counts) == (path, "", Tally(lanes=3))
    assert verified(found, lambda _: None).problem == ""
    assert found.bytes == len(BYTES) + 20
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.with_suffix(".json").stat().st_mode) == 0o600


def test_two_in_one_second_have_names_of_their_own(store) -> None:
    names = [make(store, AT).name for _ in range(3)]
    assert names == [f"fastmail-ingest-20251124T160000Z{end}.rdb" for end in ("", "-2", "-3")]
    assert len(store.all()) == 3


def test_what_was_not_published_leaves_nothing(store, directory) -> None:
    with store.begun(AT) as draft:
        draft.rdb.write_bytes(BYTES)
        draft.blobs.mkdir()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(BYTES[:-1]), "has 18 bytes, and had 19"),
        (lambda path: path.write_bytes(BYTES[:-1] + b"!"), "not those that were written"),
        (lambda path: next(path.with_suffix(".blobs").iterdir()).unlink(), "not all are there"),
        (lambda path: path.with_suffix(".json").write_bytes(b"{"), "manifest is damaged"),
        (lambda path: path.with_suffix(".json").write_bytes(b"\xff"), "manifest is damaged"),
        (lambda path: path.with_suffix(".json").unlink(), "no manifest"),
    ],
)
def test_a_damaged_one_says_what_is_wrong(store, change, problem) -> None:
    path = make(store, AT, blobs=1)
    change(path)
    (found,) = states(store).values()
    assert problem in found


def test_a_manifest_of_another_format_is_not_read() -> None:
    text = manifests.encode(manifest(AT, format=FORMAT + 1))
    with pytest.raises(BackupError, match="remedy: use the version that wrote it"):
        manifests.decode(text)


def test_the_newest_are_kept(store) -> None:
    paths = [make(store, AT + day * DAY_S, blobs=1) for day in range(5)]
    assert store.retain("fmi", 2) == paths[:3]
    assert [each.path for each in store.all()] == paths[3:]
    assert store.retain("fmi", 2) == []
    assert all(not path.with_suffix(".blobs").exists() for path in paths[:3])


def test_others_and_what_is_none_of_ours_stay(store, directory) -> None:
    other = make(store, AT, prefix="theirs")
    (directory / "notes.json").write_text("{}")
    (directory / "mine.rdb").write_bytes(BYTES)
    (directory / ".other.part").write_text("")
    paths = [make(store, AT + day * DAY_S) for day in (1, 2)]
    with store.locked():
        assert store.retain("fmi", 1) == paths[:1]
    left = {path.name for path in directory.iterdir()}
    assert {other.name, "notes.json", "mine.rdb", ".other.part", paths[1].name} <= left


def test_damaged_ones_count_for_nothing_and_go_when_enough_newer_ones_are_whole(store) -> None:
    paths = [make(store, AT + day * DAY_S) for day in range(4)]
    paths[1].write_bytes(b"cut")
    paths[3].write_bytes(b"cut")
    assert store.retain("fmi", 1) == paths[:2]
    assert [each.path for each in store.all()] == paths[2:]


def test_a_removal_that_was_cut_off_is_finished_by_the_next_backup(store, directory, monkeypatch) -> None:
    paths = [make(store, AT + day * DAY_S, blobs=1) for day in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", _refuse)
        with pytest.raises(PermissionError):
            store.retain("fmi", 1)
    # What is left of it is not taken for a whole one.
    assert {each.path: each.problem == "" for each in store.all()} == {paths[0]: False, paths[1]: True}
    with store.locked():
        pass
    assert [each.path for each in store.all()] == paths[1:]
    assert {path.name.partition(".")[0] for path in directory.glob("fastmail*")} == {paths[1].stem}


def _refuse(path: Path, missing_ok: bool = False) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_one_backup_at_a_time(store) -> None:
    with store.locked(), pytest.raises(BackupError, match="remedy: wait"), store.locked():
        raise AssertionError("never entered")


def test_a_directory_that_cannot_be_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="remedy: make room there, or name another"):
        BackupStore(tmp_path / "file" / "backups").prepare()


def test_a_stranger_among_the_backups_is_shown_as_no_backup(store, directory) -> None:
    (directory / "dump.rdb").write_bytes(BYTES)
    assert store.all() == [Stored(directory / "dump.rdb", None, store.all()[0].problem)]
    assert "no manifest" in store.all()[0].problem
