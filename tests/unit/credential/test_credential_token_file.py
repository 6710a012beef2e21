"""The token file: for its owner alone, whole or not there, one writer at a time."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from support.waiting import wait_until

from fastmail_ingest.credential import token_file
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.token_file import TokenFile
from fastmail_ingest.errors import ConfigError, TokenUnavailable

GRANT = Grant(method="google", user="u@example.com", client_id="c", refresh_token="planted-refresh")


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(str(tmp_path / "work.token.json"), "fastmail-ingest auth setup work")


def write(file: TokenFile, grant: Grant) -> None:
    with file.locked():
        file.write(grant)


def test_what_is_written_is_read(file) -> None:
    assert file.read() is None
    write(file, GRANT)
    assert file.read() == GRANT
    assert msgspec.json.decode(file.path.read_bytes())["version"] == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_private_from_its_first_byte(file, umask, monkeypatch) -> None:
    modes = []
    real = os.fsync

    def look(fd: int) -> None:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.iterdir())
        real(fd)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(umask)
    try:
        write(file, GRANT)
    finally:
        os.umask(before)
    assert set(modes) == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620])
def test_a_looser_file_is_refused_with_a_remedy(file, mode) -> None:
    write(file, GRANT)
    file.path.chmod(mode)
    with pytest.raises(ConfigError, match=f"got mode {mode:o}. remedy: chmod 600"):
        file.read()


def test_a_file_of_another_owner_is_refused_with_a_remedy(file, monkeypatch) -> None:
    write(file, GRANT)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigError, match=r"it belongs to user .* remedy: run as that user, or chown 12345"):
        file.read()


def test_what_is_no_file_is_refused(file) -> None:
    os.mkfifo(file.path)
    with pytest.raises(ConfigError, match="expected a file, got something else"):
        file.read()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": "one"}',
        b'{"version": 1, "refresh_token": "planted-refresh"}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_refused_without_quoting_it(file, content) -> None:
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    with pytest.raises(
        ConfigError, match=r"expected tokens, got something else. remedy: fastmail-ingest"
    ) as told:
        file.read()
    assert "planted" not in str(told.value)


def test_a_file_of_a_newer_version_is_refused(file) -> None:
    file.path.write_text('{"version": 2, "new": true}')
    file.path.chmod(0o600)
    with pytest.raises(ConfigError, match="newer fastmail-ingest"):
        file.read()


def test_a_link_stays_a_link(tmp_path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write(TokenFile(str(link), ""), GRANT)
    assert link.is_symlink()
    assert TokenFile(str(target), "").read() == GRANT


def test_a_directory_that_is_not_there_says_so(tmp_path) -> None:
    file = TokenFile(str(tmp_path / "none" / "file"), "")
    assert file.read() is None
    with pytest.raises(TokenUnavailable, match=r"cannot be written: No such file or directory. remedy"):
        write(file, GRANT)


def test_a_full_disk_leaves_the_old_file(file, monkeypatch) -> None:
    write(file, GRANT)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokenUnavailable, match="No space left on device"):
        write(file, Grant(method="google", user="other", client_id="c"))
    assert file.read() == GRANT


@pytest.mark.parametrize("at", ["replace", "fsync"])
def test_killed_while_writing_leaves_the_old_file_and_no_litter(file, at) -> None:
    write(file, GRANT)
    program = (
        "import os, sys\n"
        "from fastmail_ingest.credential.grant import Grant\n"
        "from fastmail_ingest.credential.token_file import TokenFile\n"
        "file = TokenFile(sys.argv[1], '')\n"
        f"os.{at} = lambda *_: os.kill(os.getpid(), 9)\n"
        "with file.locked():\n    file.write(Grant(method='google', user='new', client_id='c'))\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(file.path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert file.read() == GRANT
    write(file, GRANT)  # neither the lock nor what the dead one left behind is in the way
    assert {path.name for path in file.path.parent.iterdir()} == {"work.token.json", "work.token.json.lock"}


def test_removed_is_gone(file) -> None:
    write(file, GRANT)
    with file.locked():
        file.remove()
        file.remove()
    assert file.read() is None


def test_the_lock_shuts_out_threads(file) -> None:
    inside: list[int] = []
    most = []

    def work() -> None:
        for _ in range(20):
            with file.locked():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1


def test_a_lock_that_nobody_lets_go_is_an_error_and_that_of_a_dead_process_none(file, monkeypatch) -> None:
    program = (
        "import sys\nfrom fastmail_ingest.credential.token_file import TokenFile\n"
        "with TokenFile(sys.argv[1], '').locked():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, str(file.path)], **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr(token_file, "LOCK_WAIT_S", 0.1)
        with pytest.raises(TokenUnavailable, match="another process holds it"), file.locked():
            pass
        holder.kill()
    wait_until(lambda: holder.poll() is not None, "the holder is dead")
    with file.locked():
        pass


def test_what_is_no_file_is_refused_each_time_and_nothing_is_left_open(file) -> None:
    file.path.mkdir(mode=0o700)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ConfigError, match="expected a file, got something else"):
            file.read()
    assert len(os.listdir("/proc/self/fd")) == before
    file.path.rmdir()
    os.mkfifo(file.path, 0o600)
    with pytest.raises(ConfigError, match="expected a file, got something else"):
        file.read()


def test_a_file_that_is_nested_without_end_holds_no_tokens(file) -> None:
    file.path.write_bytes(b'{"version": 1, "x": ' + b"[" * 100_000)
    file.path.chmod(0o600)
    with pytest.raises(ConfigError, match="expected tokens, got something else"):
        file.read()
