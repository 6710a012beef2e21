"""`backup` on Redis and on Valkey: what it keeps, and what it says when it cannot."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.backups import Commands, append_large
from support.operated import Operated
from support.redis_server import RedisServer
from support.waiting import wait_until

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.snapshot import Snapshots


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    made = Operated(server)
    made.append(1, 2, 3)
    made.finish()
    made.bury(4)
    made.delay(5)
    made.append(6, 7)
    return made


@pytest.fixture
def run(tmp_path: Path, stream: Operated) -> Commands:
    stream.config(tmp_path)
    return Commands(tmp_path)


def kept(run: Commands) -> list[str]:
    return sorted(path.name for path in (run.directory / "fastmail-ingest-backups").iterdir())


def test_it_is_whole_private_and_counted(run, stream) -> None:
    os.umask(0)
    found = run.json("backup")
    assert run.code == 0
    assert found["counts"] == {"lanes": 2, "pending": 0, "delayed": 1, "dead": 1, "done": 3, "cursors": 1}
    assert found["checked_by"] == found["server"]
    path = Path(found["path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    listed = run.json("backup", "--list")
    assert run.code == 0
    assert [(each["path"], each["verified"]) for each in listed["backups"]] == [(str(path), True)]
    assert run("backup", "--list") == 0
    assert "verified" in run.out


def test_what_it_says_to_a_human(run) -> None:
    assert run("backup") == 0
    assert "to its end" in run.out
    assert "In it: 2 mails to handle, 1 waiting for a retry, 1 dead letters, 3 remembered as done" in run.out


def test_the_newest_are_kept(run) -> None:
    paths = [run.backup() for _ in range(3)]
    found = run.json("backup", "--keep", "2")
    assert found["removed"] == [str(path) for path in paths[:2]]
    assert [each["path"] for each in run.json("backup", "--list")["backups"]] == [
        str(paths[2]),
        found["path"],
    ]


def test_another_directory(run) -> None:
    assert run("backup", "--directory", "elsewhere/deep") == 0
    assert run("backup", "--list", "--directory", "elsewhere/deep") == 0
    assert "verified" in run.out
    assert run("backup", "--list") == 0
    assert "no backup in" in run.out


def test_a_damaged_one_is_listed_as_such(run) -> None:
    path = run.backup()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert run("backup", "--list") == 1
    assert "not those that were written" in run.out


def test_large_mails_are_kept_whole(run, stream) -> None:
    waits = append_large(run.directory, stream, 8, b"x" * 100_000)
    found = run.json("backup")
    assert (found["blob_count"], found["blob_bytes"]) == (1, 100_000)
    (file,) = Path(found["path"]).with_suffix(".blobs").iterdir()
    assert file.name == waits.rpartition("/")[2]
    assert file.read_bytes() == b"x" * 100_000
    BlobDirectory(run.directory / "fastmail-ingest-blobs").remove(waits)
    assert file.read_bytes() == b"x" * 100_000
    assert not (run.directory / "fastmail-ingest-blobs/held").exists()


# --- what cannot be ------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_written(run) -> None:
    (run.directory / "fastmail-ingest-backups").write_text("a file")
    assert run("backup") == 2
    assert "remedy: make room there, or name another one" in run.err


def test_a_full_disk_leaves_nothing_behind(run, stream) -> None:
    for uid in range(100, 300):
        stream.append(uid, raw=b"Subject: %d\r\n\r\n" % uid + os.urandom(4000))

    def limited() -> None:
        # The kernel refuses to let any file grow beyond this, as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "fastmail_ingest", "backup"]
    done = subprocess.run(
        command, cwd=run.directory, capture_output=True, text=True, preexec_fn=limited, check=False
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "remedy: make room there" in done.stderr
    assert kept(run) == [".fastmail-ingest.lock"]
    assert run("backup") == 0


def test_a_snapshot_that_redis_cannot_write(run, server) -> None:
    (server.directory / "dump.rdb").unlink(missing_ok=True)
    (server.directory / "dump.rdb/x").mkdir(parents=True)
    try:
        assert run("backup") == 1
        assert "Redis could not write its snapshot" in run.err
        assert "its log says why" in run.err
        assert kept(run) == [".fastmail-ingest.lock"]
    finally:
        (server.directory / "dump.rdb/x").rmdir()
        (server.directory / "dump.rdb").rmdir()
    assert run("backup") == 0


def test_a_redis_that_would_stop_taking_writes_is_left_alone(run, server, stream, monkeypatch) -> None:
    client = server.client()
    config = run.directory / "supervisor.toml"
    free = "fastmail_ingest.stream.snapshot.shutil.disk_usage"
    monkeypatch.setattr(free, lambda _: SimpleNamespace(free=10))
    saves = client.info("persistence")["rdb_saves"]
    client.config_set("save", "3600 1")
    try:
        with Snapshots.of(config) as snapshots, pytest.raises(BackupError, match="it would take no mails"):
            snapshots.take(30, lambda _: None, lambda _: None)
        assert client.info("persistence")["rdb_saves"] == saves
    finally:
        client.config_set("save", "")
    with Snapshots.of(config) as snapshots:
        snapshots.take(30, lambda _: None, lambda _: None)


def test_a_save_under_way_is_waited_for(run, server, stream) -> None:
    client = server.client()
    client.config_set("rdb-key-save-delay", 100_000)
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_bgsave_in_progress"], "a save is under way")
    stream.append(8)
    client.config_set("rdb-key-save-delay", 0)
    assert run.json("backup")["counts"]["lanes"] == 3
    assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"


def test_a_save_that_takes_too_long(run, server, stream) -> None:
    stream.config(run.directory, "[backup]\ntimeout = 1.0\n")
    client = server.client()
    client.config_set("rdb-key-save-delay", 1_000_000)
    try:
        assert run("backup") == 1
        assert "did not finish its snapshot in time" in run.err
    finally:
        client.config_set("rdb-key-save-delay", 0)
        os.kill(_saver(server), signal.SIGKILL)
    assert kept(run) == [".fastmail-ingest.lock"]


def _saver(server: RedisServer) -> int:
    """The pid of the process that writes the snapshot."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(children[0])


def test_no_redis(run, tmp_path) -> None:
    (tmp_path / "supervisor.toml").write_text('[redis]\nurl = "unix:///nowhere/redis.sock"\n')
    assert run("backup") == 3
    assert "does not answer" in run.err


def test_our_own_that_does_not_run(run, tmp_path) -> None:
    (tmp_path / "supervisor.toml").write_text("")
    assert run("backup") == 3
    assert "start it with `fastmail-ingest supervise`" in run.err


@pytest.fixture
def restricted(server: RedisServer, stream: Operated, run: Commands):
    """A user with a password who may not do everything, as at a provider of Redis."""
    client = server.client()

    def limited(*rules: str) -> None:
        client.execute_command("ACL", "SETUSER", "mail", "on", ">s3cret word", "~*", "+@all", *rules)
        path = run.directory / "supervisor.toml"
        url = server.url.replace("unix://", "unix://mail@")
        path.write_text(f'[redis]\nurl = "{url}"\npassword = "s3cret word"\n')

    yield limited
    client.execute_command("ACL", "DELUSER", "mail")


def test_a_provider_that_allows_no_snapshot(run, restricted) -> None:
    restricted("-bgsave", "-psync", "-sync")
    assert run("backup") == 1
    assert "use the snapshots of your provider" in run.err
    assert "s3cret" not in run.err + run.out
    assert kept(run) == [".fastmail-ingest.lock"]


def test_over_the_network_where_the_files_cannot_be_read(run, restricted, stream) -> None:
    restricted("-config")
    found = run.json("backup")
    assert run.code == 0, run.err
    assert found["over_network"] is True
    assert found["counts"]["lanes"] == 2
    assert stat.S_IMODE(Path(found["path"]).stat().st_mode) == 0o600
    assert run("backup", "--list") == 0


def test_no_password_stands_in_a_process_title(run, restricted, tmp_path, monkeypatch) -> None:
    spy = tmp_path / "bin/redis-cli"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/arguments\nexec /usr/bin/redis-cli "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    restricted("-config")
    assert run("backup") == 0, run.err
    assert "--rdb" in (tmp_path / "arguments").read_text()
    assert "s3cret" not in (tmp_path / "arguments").read_text()


def test_no_client_to_copy_with(run, restricted, monkeypatch, tmp_path) -> None:
    restricted("-config")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("backup") == 1
    assert "remedy: install it (apt install redis-tools)" in run.err


# --- stopped --------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_nothing_behind(run, server, stream) -> None:
    client = server.client()
    client.config_set("rdb-key-save-delay", 1_000_000)
    command = [sys.executable, "-m", "fastmail_ingest", "backup"]
    process = subprocess.Popen(command, cwd=run.directory, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: client.info("persistence")["rdb_bgsave_in_progress"], "a save is under way")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1
    finally:
        client.config_set("rdb-key-save-delay", 0)
        os.kill(_saver(server), signal.SIGKILL)
    assert "stopped; nothing is left" in process.stderr.read()
    assert kept(run) == [".fastmail-ingest.lock"]
