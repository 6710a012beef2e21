"""The directory of the metrics: private, locked while somebody lives, and nothing of it stays behind."""

import os
import stat
from functools import partial
from pathlib import Path

import prometheus_client
import pytest
from support.metrics_files import count_once, files, in_child

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.telemetry import metrics_directory, process_name
from fastmail_ingest.telemetry.metrics_directory import (
    PREFIX,
    RESERVED_BYTES,
    VARIABLE,
    MetricsDirectory,
    begin_counting,
    place,
)


def test_it_is_private_and_gone_at_the_end(metrics_parent: Path) -> None:
    with MetricsDirectory.make() as made:
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
        assert place() == made.path
        assert os.environ[VARIABLE] == str(made.path)
        count_once("mails")
        assert files(made.path) == ["counter_main.db"]
    assert list(metrics_parent.iterdir()) == []
    assert VARIABLE not in os.environ
    assert place() is None
    assert prometheus_client.values.ValueClass is prometheus_client.values.MutexValue


def test_what_the_dead_left_is_swept_and_the_living_keep_theirs(metrics_parent: Path) -> None:
    (metrics_parent / f"{PREFIX}left").mkdir()
    (metrics_parent / f"{PREFIX}left" / "counter_g1.db").write_bytes(b"x")
    (metrics_parent / "of-others").mkdir()
    with MetricsDirectory.make() as first, MetricsDirectory.make() as second:
        found = {path.name for path in metrics_parent.iterdir()}
        assert found == {"of-others", first.path.name, second.path.name}


def test_it_is_held_as_long_as_a_child_lives(metrics_parent: Path) -> None:
    read_end, write_end = os.pipe()
    first = MetricsDirectory.make()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(first._lock)  # as if its supervisor had been killed
    with MetricsDirectory.make():
        assert first.path.exists()
    os.close(write_end)
    os.waitpid(child, 0)
    with MetricsDirectory.make():
        assert not first.path.exists()


def test_a_directory_swept_before_it_was_locked_is_made_anew(
    metrics_parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    flock = metrics_directory.fcntl.flock

    def swept_first(fd: int, how: int) -> None:
        if how == metrics_directory.fcntl.LOCK_SH:
            made.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
            if len(made) == 1:
                made[0].rmdir()
        flock(fd, how)

    monkeypatch.setattr(metrics_directory.fcntl, "flock", swept_first)
    with MetricsDirectory.make() as directory:
        assert [path.exists() for path in made] == [False, True]
        assert directory.path == made[1]


def test_without_a_place_it_says_so(metrics_parent: Path) -> None:
    metrics_parent.rmdir()
    with pytest.raises(ConfigError, match=r"cannot make a directory for metrics in .*remedy: "):
        MetricsDirectory.make()


def test_it_is_in_memory_where_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(metrics_directory, "_has_room", lambda directory: directory == str(tmp_path))
    assert metrics_directory._parent() == tmp_path
    monkeypatch.setattr(metrics_directory, "_has_room", lambda directory: False)
    assert metrics_directory._parent() == Path(metrics_directory.tempfile.gettempdir())


def test_a_child_has_its_room_before_it_counts(metrics: Path) -> None:
    assert begin_counting(7) == metrics
    found = {path.name: path.stat() for path in metrics.iterdir()}
    assert {name: status.st_size for name, status in found.items()} == {
        f"{kind}_g7.db": size for kind, size in RESERVED_BYTES.items()
    }
    assert all(status.st_blocks * 512 >= status.st_size for status in found.values())
    count_once("mails")
    assert {path.name: path.stat().st_size for path in metrics.iterdir()} == {
        name: status.st_size for name, status in found.items()
    }


def test_a_child_without_room_counts_nothing(
    metrics: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert begin_counting(7) is None
    assert "no metrics of this process: no room in" in caplog.text


def test_without_a_directory_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(process_name, "_name", "main")
    assert begin_counting(1) is None


def test_a_forked_process_has_a_name_of_its_own(metrics: Path) -> None:
    names = metrics / "names"
    process_name.take(7)

    def note() -> None:
        with names.open("a") as file:
            file.write(f"{process_name.current()}\n")

    in_child(note)
    in_child(partial(in_child, note))
    in_child(note, 8)
    first, second, third = names.read_text().splitlines()
    assert first.startswith("g7.")
    assert second.startswith("g7.")
    assert third == "g8"
    assert len({first, second}) == 2


@pytest.mark.parametrize(
    ("name", "dead"),
    [
        ("main", False),
        ("g7", False),
        ("g8", True),
        ("g8.{ours}.5", False),
        ("g7.4194999.5", True),
        ("{ours}", False),
        ("4194999", True),
        ("stranger", False),
    ],
)
def test_who_is_dead(name: str, dead: bool) -> None:
    """No pid is above 4194304 (proc(5), pid_max)."""
    assert process_name.is_dead(name.format(ours=os.getpid()), {7}) is dead
