"""What the dead have counted is neither lost nor counted twice, whenever whoever adds it up is killed."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, Summary
from support.metrics_files import count_once, files, in_child, scraped

from fastmail_ingest.telemetry import dead_files, process_name
from fastmail_ingest.telemetry.dead_files import absorb


def nobody() -> set[int]:
    return set()


def count_everything(amount: int) -> None:
    Counter("mails", "m", ["of"], registry=None).labels("a").inc(amount)
    Histogram("took", "t", registry=None, buckets=(1.0, 5.0)).observe(amount)
    Summary("size", "s", registry=None).observe(amount)
    Gauge("least", "g", registry=None, multiprocess_mode="min").set(amount)
    Gauge("most", "g", registry=None, multiprocess_mode="max").set(amount)
    Gauge("total", "g", registry=None, multiprocess_mode="sum").set(amount)
    Gauge("latest", "g", registry=None, multiprocess_mode="mostrecent").set(amount)


COUNTED = {
    "mails_total{of=a}": 10.0,
    "took_sum": 10.0,
    "took_count": 4.0,
    "took_bucket{le=1.0}": 1.0,
    "took_bucket{le=5.0}": 4.0,
    "took_bucket{le=+Inf}": 4.0,
    "size_sum": 10.0,
    "size_count": 4.0,
    "least": 1.0,
    "most": 4.0,
    "total": 10.0,
    "latest": 4.0,
}


def test_adding_up_changes_no_value_and_leaves_a_file_of_each_kind(metrics: Path) -> None:
    for generation in range(1, 5):
        in_child(partial(count_everything, generation), generation)
    before = scraped(metrics)

    assert absorb(metrics, nobody) == 4

    assert before == scraped(metrics) == COUNTED
    kinds = ("counter", "gauge_max", "gauge_min", "gauge_mostrecent", "gauge_sum", "histogram", "summary")
    assert files(metrics) == ["dead-1/absorbed.json", *(f"dead-1/{kind}_dead.db" for kind in kinds)]


def test_sums_grow_by_each_death_and_the_old_ones_go(metrics: Path) -> None:
    for generation in range(1, 5):
        in_child(partial(count_everything, generation), generation)
        absorb(metrics, nobody)
    assert scraped(metrics) == COUNTED
    assert {path.name for path in metrics.iterdir()} == {"dead-4"}
    assert absorb(metrics, nobody) == 0
    assert {path.name for path in metrics.iterdir()} == {"dead-4"}


def test_the_living_and_the_supervisor_keep_their_files(metrics: Path) -> None:
    count_once("mails")
    in_child(lambda: count_once("mails", 2), 1)
    in_child(lambda: count_once("mails", 4), 2)

    assert absorb(metrics, lambda: {2}) == 1

    assert scraped(metrics) == {"mails_total": 7.0}
    assert {path.name for path in metrics.iterdir()} == {"counter_main.db", "counter_g2.db", "dead-1"}


def test_a_gauge_of_the_living_ends_with_its_process(metrics: Path) -> None:
    def set_gauges() -> None:
        Gauge("busy", "b", registry=None, multiprocess_mode="livesum").set(3)
        Gauge("each", "e", registry=None, multiprocess_mode="all").set(5)

    in_child(set_gauges, 1)
    assert scraped(metrics, living=[1]) == {"busy": 3.0, "each{pid=g1}": 5.0}
    assert scraped(metrics) == {}
    absorb(metrics, nobody)
    assert scraped(metrics) == {}
    assert files(metrics) == ["dead-1/absorbed.json"]


def test_what_a_child_of_a_child_counted_is_kept(metrics: Path) -> None:
    def work() -> None:
        count_once("mails", 1)
        in_child(lambda: count_once("mails", 10))
        in_child(lambda: count_once("mails", 100))

    in_child(work, 1)
    assert scraped(metrics) == {"mails_total": 111.0}
    assert absorb(metrics, lambda: {1}) == 2
    assert scraped(metrics) == {"mails_total": 111.0}


def test_another_interpreter_is_known_by_its_pid(metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_name, "_name", str(os.getpid()))
    count_once("mails", 3)
    assert absorb(metrics, nobody) == 0
    monkeypatch.setattr(process_name, "_name", str(_a_pid_that_is_gone()))
    count_once("mails", 4)
    assert absorb(metrics, nobody) == 1
    assert scraped(metrics) == {"mails_total": 7.0}


def _a_pid_that_is_gone() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x40\0\0\0\0\0\0\0\x10\0\0\0[]"])
def test_a_file_that_cannot_be_read_takes_no_other_along(metrics: Path, content: bytes) -> None:
    in_child(lambda: count_once("mails", 3), 1)
    (metrics / "counter_g2.db").write_bytes(content)
    assert scraped(metrics, living=[2]) == {"mails_total": 3.0}
    assert absorb(metrics, nobody) == 2
    assert scraped(metrics) == {"mails_total": 3.0}
    assert files(metrics) == ["dead-1/absorbed.json", "dead-1/counter_dead.db"]


def test_without_room_all_is_as_it_was(metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    in_child(lambda: count_once("mails", 3), 1)
    with monkeypatch.context() as without_room:
        without_room.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space"):
            absorb(metrics, nobody)
        assert scraped(metrics) == {"mails_total": 3.0}
    assert absorb(metrics, nobody) == 1
    assert scraped(metrics) == {"mails_total": 3.0}


# What the interpreter tells of before it does it: so a process can be killed at each step. See "Audit events
# table" in Python's documentation.
STEPS = (
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.scandir",
    "mmap.__new__",
    "os.truncate",
)


KILLED = 99


def absorb_and_die(directory: Path, step: int) -> None:
    left = step

    def count_down(event: str, _: object) -> None:
        nonlocal left
        if event in STEPS:
            left -= 1
            if left < 0:
                os._exit(KILLED)

    sys.addaudithook(count_down)
    absorb(directory, nobody)


def test_whoever_adds_up_may_be_killed_at_each_step(metrics: Path, tmp_path: Path) -> None:
    """With sums there already, with new ones, and with some that were not finished."""
    for generation in range(1, 3):
        in_child(partial(count_everything, generation), generation)
    absorb(metrics, nobody)
    for generation in range(3, 5):
        in_child(partial(count_everything, generation), generation)
    (metrics / "g3.exemplars").write_bytes(b"of a slow mail")
    died, step = 0, 0
    while True:
        copy = tmp_path / f"copy-{step}"
        shutil.copytree(metrics, copy)
        code = in_child(partial(absorb_and_die, copy, step), expected=(0, KILLED))
        assert scraped(copy) == COUNTED, f"killed at step {step}: {files(copy)}"
        absorb(copy, nobody)
        assert scraped(copy) == COUNTED, f"after step {step}"
        assert [path.name for path in copy.iterdir()] == ["dead-2"], f"after step {step}"
        shutil.rmtree(copy)
        if code == 0:
            break
        died, step = died + 1, step + 1
    assert died > 30


def test_a_reader_that_is_overtaken_reads_again(metrics: Path) -> None:
    in_child(lambda: count_once("mails", 3), 1)
    readings: list[list[Path]] = []

    def reader(paths: list[Path]) -> int:
        readings.append(paths)
        if len(readings) == 1:
            in_child(lambda: count_once("mails", 4), 2)
            absorb(metrics, nobody)
        return sum(int(value) for path in paths for value, _ in dead_files.values_in(path).values())

    assert dead_files.read(metrics, nobody, reader) == 7
    assert len(readings) == 2
