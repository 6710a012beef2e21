"""The shared memory, and how many CPUs we may use."""

import os
from pathlib import Path

import pytest

from fastmail_ingest.supervisor.cpus import usable_cpus
from fastmail_ingest.supervisor.slots import COUNTERS, MESSAGE_MAX_BYTES, Held, SlotTable, State


def test_what_is_in_hand_outlives_its_process() -> None:
    table = SlotTable(2, cells=3)
    pid = os.fork()
    if pid == 0:
        table.slot(1).hold(0, 12.5, 2, b"1700-0")
        table.slot(1).hold(2, 13.5, 1, b"1701-1")
        table.slot(1).hold(1, 1.0, 1, b"gone")
        table.slot(1).release(1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert table.slot(1).held() == [Held(12.5, 2, b"1700-0"), Held(13.5, 1, b"1701-1")]
    assert table.slot(0).held() == []


def test_counters_stay_in_the_totals_when_a_slot_is_used_again() -> None:
    table = SlotTable(2, cells=1)
    slot = table.slot(0)
    slot.claim(0, 1, 0.0)
    slot.add(3, 5)
    table.slot(1).add(3, 2)
    slot.claim(0, 2, 0.0)
    assert slot.get(3) == 0
    assert table.total(3) == 7
    assert all(table.total(counter) == 0 for counter in range(COUNTERS) if counter != 3)


def test_claim_leaves_no_trace_of_the_predecessor() -> None:
    slot = SlotTable(1, cells=2).slot(0)
    slot.hold(1, 1.0, 1, b"x")
    slot.message = "boom"
    slot.state = State.DEAD
    slot.claim(3, 9, 4.5)
    assert (slot.state, slot.role, slot.generation, slot.started_at, slot.pid) == (
        State.STARTING,
        3,
        9,
        4.5,
        0,
    )
    assert (slot.held(), slot.message) == ([], "")


@pytest.mark.parametrize("message", ["", "short", "ü" * 600, "x" * 5000])
def test_last_words_are_cut_to_fit(message: str) -> None:
    slot = SlotTable(1, cells=1).slot(0)
    slot.message = message
    assert message.startswith(slot.message.rstrip("\N{REPLACEMENT CHARACTER}"))
    assert len(slot.message.encode()) <= MESSAGE_MAX_BYTES + 3


def test_the_bell_wakes_and_is_hushed() -> None:
    table = SlotTable(1, cells=1)
    table.ring()
    table.ring()
    table.hush()
    table.hush()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(table.bell)


def files(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own", "cgroup_files", "cpus"),
    [
        ("0::/a/b\n", {"a__b__cpu_dot_max": "max 100000", "a__cpu_dot_max": "max 100000"}, HERE),
        ("0::/a/b\n", {"a__b__cpu_dot_max": "max 100000", "a__cpu_dot_max": "100000 100000"}, 1),
        ("0::/a\n", {"a__cpu_dot_max": "150000 100000"}, min(HERE, 2)),
        ("0::/a\n", {"a__cpu_dot_max": "1000 100000"}, 1),
        ("0::/not/here\n", {"cpu_dot_max": "50000 100000"}, 1),
        ("0::/\n", {"cpu_dot_max": "garbage"}, HERE),
        ("", {}, HERE),
        ("4:cpu,cpuacct:/d\n", {"cpu,cpuacct__d__cpu_dot_cfs_quota_us": "-1", "cpu,cpuacct__d__cpu_dot_cfs_period_us": "100000"}, HERE),
        ("4:cpu,cpuacct:/d\n", {"cpu,cpuacct__d__cpu_dot_cfs_quota_us": "100000", "cpu,cpuacct__d__cpu_dot_cfs_period_us": "100000"}, 1),
        ("4:cpu:/d\n3:memory:/d\n", {"cpu__d__cpu_dot_cfs_quota_us": "50000", "cpu__d__cpu_dot_cfs_period_us": "100000"}, 1),
    ],
)  # fmt: skip
def test_quotas_count(tmp_path: Path, own: str, cgroup_files: dict[str, str], cpus: int) -> None:
    root = files(tmp_path / "cgroup", **cgroup_files)
    (tmp_path / "own").write_text(own)
    assert usable_cpus(root, tmp_path / "own") == cpus
