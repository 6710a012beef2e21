"""The PID file: who holds it, who is meant by it, and that nobody else is taken for him."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

from fastmail_ingest.app.daemon.stop import is_alive
from fastmail_ingest.errors import ConfigError, UnavailableError
from fastmail_ingest.supervisor.birth import kernel, start_ticks
from fastmail_ingest.supervisor.pid_file import PidFile, Written

HOLD = """
import sys
from pathlib import Path
from fastmail_ingest.supervisor.pid_file import PidFile
import os
with PidFile(Path(sys.argv[1]), 50.0):
    if sys.argv[2] == "fork" and os.fork() == 0:
        sys.stdin.read()
    print("held", flush=True)
    if sys.argv[2] == "fork":
        os._exit(0)
    sys.stdin.read()
"""


def holder(path: Path, how: str = "hold") -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), how], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_it_says_who_and_is_gone_behind_him(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    with PidFile(path, 50.0):
        first, second, third = path.read_text().splitlines()
        assert first == str(os.getpid())
        assert second == f"{start_ticks(os.getpid())} {kernel()}"
        assert third == "50.0"
        written = Written.read(path)
        assert written is not None
        descriptor = written.pidfd()
        assert descriptor is not None
        os.close(descriptor)
    assert not path.exists()


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    process = holder(path)
    with pytest.raises(UnavailableError, match=rf"held by another fastmail-ingest \(pid {process.pid}\)"):
        PidFile(path, 1.0).__enter__()
    assert path.read_text().startswith(f"{process.pid}\n")
    process.communicate("")
    with PidFile(path, 1.0):
        assert path.read_text().startswith(f"{os.getpid()}\n")


def test_what_a_killed_one_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    process = holder(path)
    process.kill()
    process.wait()
    written = Written.read(path)
    assert written is not None
    assert written.pidfd() is None
    with PidFile(path, 1.0):
        assert path.read_text().startswith(f"{os.getpid()}\n")


def test_a_forked_child_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    process = holder(path, "fork")
    process.wait()
    with PidFile(path, 1.0):
        assert Written.read(path) == Written.of_us(1.0)
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.parametrize("how", ["another birth", "another kernel", "no process", "nonsense number"])
def test_a_process_with_the_same_number_is_not_meant(how: str) -> None:
    right = Written.of_us(1.0)
    wrong = {
        "another birth": Written(right.pid, str(int(right.born) - 1), right.kernel, 1.0),
        "another kernel": Written(right.pid, right.born, "00000000", 1.0),
        "no process": Written(2**22 + 1, right.born, right.kernel, 1.0),
        "nonsense number": Written(-1, right.born, right.kernel, 1.0),
    }
    assert wrong[how].pidfd() is None


@pytest.mark.parametrize("text", ["", "1", "x y z 1", "1 2 3", "1 2 3 4 5", "\xff"])
def test_a_file_that_is_not_ours_means_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.pid"
    path.write_text(text)
    assert Written.read(path) is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*/missing/a\.pid.*remedy"):
        PidFile(tmp_path / "missing/a.pid", 1.0).__enter__()
    (tmp_path / "target").write_text("precious")
    (tmp_path / "a.pid").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="cannot write"):
        PidFile(tmp_path / "a.pid", 1.0).__enter__()
    assert (tmp_path / "target").read_text() == "precious"
    with pytest.raises(ConfigError, match="cannot read"):
        Written.read(tmp_path)


def test_a_zombie_is_told_from_the_living_by_its_descriptor(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.pid")
    written = Written.read(tmp_path / "a.pid")
    assert written is not None
    process.kill()
    wait_until(lambda: "Z" in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2], "a zombie")

    assert not is_alive(written)
    process.wait()
