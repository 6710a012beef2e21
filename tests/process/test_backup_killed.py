"""kill -9 of `backup` and of `restore` at each of their steps: what is there is whole, and is the old or the new."""

from pathlib import Path

import pytest
from support.backups import Commands, OurOwn, append_large
from support.operated import Operated
from support.redis_server import RedisServer


@pytest.fixture
def stream(redis_server: RedisServer) -> Operated:
    return filled(Operated(redis_server))


def filled(stream: Operated) -> Operated:
    stream.append(1, 2, 3)
    stream.finish()
    stream.bury(4)
    stream.delay(5)
    stream.append(6, 7)
    return stream


def leftovers(directory: Path) -> list[str]:
    found = [path.name for path in directory.iterdir() if path.name.startswith(".")]
    return [name for name in found if name != ".fastmail-ingest.lock"]


def test_backup(tmp_path, stream) -> None:
    stream.config(tmp_path)
    run = Commands(tmp_path)
    append_large(tmp_path, stream, 8)
    backups = run.backup().parent
    step = 1
    while run.dying(step, "backup", "--keep", "2"):
        found = run.json("backup", "--list")["backups"]
        assert any(each["verified"] for each in found), f"killed at step {step}: none is left"
        for each in found:
            assert each["verified"] or "no manifest" in each["problem"], (step, each)
        step += 1
    assert step > 10
    assert run("backup", "--keep", "2") == 0
    assert leftovers(backups) == []
    assert len(list(backups.glob("*.json"))) == 2
    assert not (tmp_path / "fastmail-ingest-blobs/held").exists()


def test_restore_into_a_given_redis(tmp_path, stream) -> None:
    stream.config(tmp_path)
    run = Commands(tmp_path)
    append_large(tmp_path, stream, 20)
    path = run.backup()
    stream.finish()
    stream.append(30)
    step, seen = 1, set()
    while run.dying(step, "restore", path, "--force"):
        found = stream.ledger.states([stream.identity(6), stream.identity(30)])
        assert found in (["done", "queued"], ["queued", "unknown"]), step
        assert stream.ledger.census().agrees
        seen.add(found[0])
        step += 1
    assert seen == {"done", "queued"}
    assert step > 20
    assert run("restore", path, "--force") == 0
    assert not list(stream.client.scan_iter(match="*:restoring:*"))
    assert leftovers(path.parent) == []


def test_restore_into_our_own_server(tmp_path) -> None:
    (tmp_path / "supervisor.toml").write_text("")
    run, own = Commands(tmp_path), OurOwn(tmp_path / "fastmail-ingest-data")
    with own.running():
        stream = filled(Operated(own))
        append_large(tmp_path, stream, 20)
        path = run.backup()
        stream.finish()
        stream.append(30)
    step, seen = 1, set()
    while run.dying(step, "restore", path, "--force"):
        with own.running():
            stream = Operated(own, empty=False)
            found = stream.ledger.states([stream.identity(6), stream.identity(30)])
            assert stream.ledger.census().agrees
        assert found in (["done", "queued"], ["queued", "unknown"]), step
        assert not (own.data_dir / "restoring").exists()
        assert not (own.data_dir / "restore.json").exists()
        seen.add(found[0])
        step += 1
    assert seen == {"done", "queued"}
    assert step > 20
