"""A restore into our own server: across versions, without room, stopped, and what it keeps."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.backups import Commands, OurOwn
from support.operated import Operated
from support.waiting import wait_until

KNOWN = [1, 6, 300]  # done and queued at the backup; and come after it


@pytest.fixture
def own(tmp_path: Path) -> OurOwn:
    (tmp_path / "supervisor.toml").write_text("")
    return OurOwn(tmp_path / "fastmail-ingest-data")


@pytest.fixture
def run(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def filled(run: Commands, own: OurOwn) -> Path:
    """Fill our own server, back it up, and go on; returns the snapshot."""
    with own.running():
        stream = Operated(own)
        stream.append(1, 2, 3)
        stream.finish()
        for uid in range(6, 40):
            stream.append(uid, raw=b"Subject: %d\r\n\r\n" % uid + os.urandom(10_000))
        snapshot = run.backup()
        stream.append(300)
    return snapshot


def states(own: OurOwn) -> list[str]:
    with own.running():
        stream = Operated(own, empty=False)
        assert stream.ledger.census().agrees
        return stream.ledger.states([stream.identity(uid) for uid in KNOWN])


def test_what_was_there_is_kept_and_can_be_put_back(run, own) -> None:
    found = run.json("restore", filled(run, own), "--force")
    assert run.code == 0, run.err
    assert states(own) == ["done", "queued", "unknown"]
    shutil.rmtree(own.data_dir / "appendonlydir")
    (Path(found["kept"]) / "appendonlydir").rename(own.data_dir / "appendonlydir")
    assert states(own) == ["done", "queued", "queued"]


def test_from_the_embedded_server_into_redis(run, own, redis_binary, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        snapshot = filled(run, own)
    assert snapshot.read_bytes()[:6] == b"VALKEY"
    shutil.rmtree(own.data_dir)
    assert run("restore", snapshot) == 0
    assert "By hand it cannot be done" in run.out
    assert run("restore", snapshot, "--force") == 0, run.err
    assert states(own) == ["done", "queued", "unknown"]


def test_where_no_server_reads_it(run, own, redis_binary, tmp_path, monkeypatch) -> None:
    snapshot = filled(run, own)
    raw = snapshot.read_bytes()
    snapshot.with_suffix(".json").unlink()
    snapshot.write_bytes(b"REDIS0099" + raw[9:])
    assert run("restore", snapshot, "--force") == 1
    assert "a newer or another server wrote it" in run.err


def test_without_room_all_is_as_it_was(run, own) -> None:
    snapshot = filled(run, own)

    def limited() -> None:
        # The kernel refuses to let any file grow beyond this, as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "fastmail_ingest", "restore", str(snapshot), "--force"]
    done = subprocess.run(
        command, cwd=run.directory, capture_output=True, text=True, preexec_fn=limited, check=False
    )
    assert done.returncode == 1
    assert "make room on that disk" in done.stderr
    assert not (own.data_dir / "restoring").exists()
    assert states(own) == ["done", "queued", "queued"]


def test_ctrl_c_leaves_all_as_it_was(run, own, tmp_path, monkeypatch) -> None:
    # A server that takes its time to load: each key costs it 0.1 s.
    slow = tmp_path / "bin/redis-server"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nexec {shutil.which("redis-server")} "$@" --key-load-delay 1000000\n')
    slow.chmod(0o755)
    slow.with_name("redis-check-rdb").symlink_to(shutil.which("redis-check-rdb"))
    snapshot = filled(run, own)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "fastmail_ingest", "restore", str(snapshot), "--force"]
    process = subprocess.Popen(command, cwd=run.directory, stderr=subprocess.PIPE, text=True)
    wait_until((own.data_dir / "restoring/dump.rdb").is_symlink, "it is being loaded")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert "stopped; all is as it was" in process.stderr.read()
    monkeypatch.undo()
    assert not (own.data_dir / "restoring").exists()
    assert states(own) == ["done", "queued", "queued"]


def test_data_of_another_user(run, own, tmp_path) -> None:
    snapshot = filled(run, own)
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(own.data_dir, 12345, 12345)
    assert run("restore", snapshot, "--force") == 2
    assert "belongs to another user" in run.err
