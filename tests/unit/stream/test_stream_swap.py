"""New data in place of old ones: all or nothing, wherever it is cut off."""

from pathlib import Path

import pytest

from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream import swap

KEPT = "before-restore-20261125T031500Z"


class Cut(Exception):
    """We die here."""


def lay_out(data_dir: Path, content: str) -> None:
    (data_dir / "appendonlydir").mkdir(parents=True)
    (data_dir / "appendonlydir/base").write_text(content)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    lay_out(tmp_path, "old")
    (tmp_path / "dump.rdb").write_text("old")
    return tmp_path


def stage(data_dir: Path) -> None:
    lay_out(swap.staged(data_dir), "new")


def loaded(data_dir: Path) -> str:
    """What a server would load."""
    return (data_dir / "appendonlydir/base").read_text()


def test_the_old_ones_are_kept(data_dir) -> None:
    stage(data_dir)
    assert swap.exchange(data_dir, KEPT) == data_dir / KEPT
    assert loaded(data_dir) == "new"
    assert (data_dir / KEPT / "appendonlydir/base").read_text() == "old"
    assert (data_dir / KEPT / "dump.rdb").read_text() == "old"
    assert {path.name for path in data_dir.iterdir()} == {"appendonlydir", KEPT}


def test_twice_in_one_second_both_are_kept(data_dir) -> None:
    stage(data_dir)
    swap.exchange(data_dir, KEPT)
    stage(data_dir)
    second = swap.exchange(data_dir, KEPT)
    assert second == data_dir / f"{KEPT}-2"
    assert (second / "appendonlydir/base").read_text() == "new"
    assert (data_dir / KEPT / "appendonlydir/base").read_text() == "old"


def test_nothing_is_kept_where_nothing_was(tmp_path) -> None:
    stage(tmp_path)
    assert swap.exchange(tmp_path, KEPT) is None
    assert loaded(tmp_path) == "new"


def test_what_was_only_staged_goes(data_dir) -> None:
    stage(data_dir)
    assert swap.finish(data_dir) is False
    assert loaded(data_dir) == "old"
    assert {path.name for path in data_dir.iterdir()} == {"appendonlydir", "dump.rdb"}


def test_staging_begins_with_nothing(data_dir) -> None:
    stage(data_dir)
    assert list(swap.staged(data_dir).iterdir()) == []


@pytest.mark.parametrize("step", range(12))
def test_cut_off_at_each_step_it_is_either_of_the_two(data_dir, monkeypatch, step) -> None:
    stage(data_dir)
    left = step

    def dying(real):
        def wrapped(*words, **named):
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut
            return real(*words, **named)

        return wrapped

    with monkeypatch.context() as patched:
        for name in ("rename", "mkdir", "unlink"):
            patched.setattr(Path, name, dying(getattr(Path, name)))
        patched.setattr(swap.shutil, "rmtree", dying(swap.shutil.rmtree))
        try:
            swap.exchange(data_dir, KEPT)
        except Cut:
            begun = (data_dir / "restore.json").exists()
        else:
            begun = False
            assert step > 6
    cut_before = not begun and loaded(data_dir) == "old"
    assert swap.finish(data_dir) is begun
    assert loaded(data_dir) == ("old" if cut_before else "new")
    if not cut_before:
        assert (data_dir / KEPT / "appendonlydir/base").read_text() == "old"
    assert not (data_dir / "restoring").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kept": "../../etc"}', '{"kept": "/etc"}', "\x00"])
def test_a_mark_that_is_not_ours_is_refused(data_dir, text) -> None:
    (data_dir / "restore.json").write_text(text)
    with pytest.raises(BackupError, match="remedy: remove it"):
        swap.finish(data_dir)
    assert loaded(data_dir) == "old"
