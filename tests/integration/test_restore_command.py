"""`restore` into a given Redis or Valkey: what is put back, what is refused, and that it is all or nothing."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support.backups import Commands, append_large
from support.operated import Operated
from support.redis_server import RedisServer

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.stream.keys import GROUP


@pytest.fixture
def stream(server: RedisServer) -> Operated:
    made = Operated(server)
    made.append(1, 2, 3)
    made.finish()
    made.bury(4)
    made.delay(5)
    made.append(6, 7, 8)
    return made


@pytest.fixture
def run(tmp_path: Path, stream: Operated) -> Commands:
    stream.config(tmp_path)
    return Commands(tmp_path)


def everything(stream: Operated) -> dict[bytes, object]:
    """All keys of the stream but its consumer groups, with what is in them."""
    client, found = stream.client, {}
    readers = {
        b"stream": client.xrange, b"hash": client.hgetall, b"set": client.smembers, b"string": client.get,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }  # fmt: skip
    for key in client.scan_iter(match=stream.keys.everything):
        found[key] = readers[client.type(key)](key)
    return found


def states(stream: Operated, *uids: int) -> list[str]:
    return stream.ledger.states([stream.identity(uid) for uid in uids])


# --- what is put back ---------------------------------------------------------------------------------


def test_all_is_as_it_was_then(run, stream) -> None:
    path = run.backup()
    before = everything(stream)
    stream.finish()
    stream.append(9, 10)
    stream.client.set("{fmi:0}:cursor:later:INBOX", "x")
    found = run.json("restore", path, "--force")
    assert run.code == 0, run.err
    after = everything(stream)
    lanes = {key.encode() for key in stream.keys.lanes.values()}
    assert {key: after.get(key) for key in before if key not in lanes} == {
        key: value for key, value in before.items() if key not in lanes
    }
    assert set(after) == set(before)
    assert states(stream, *range(1, 11)) == ["done"] * 3 + ["queued"] * 5 + ["unknown"] * 2
    assert stream.ledger.cursor(MailboxKey("a", "INBOX")).last_uid == 8
    assert stream.ledger.census().agrees
    assert found["revived"]["tally"] == {
        "lanes": 3, "pending": 0, "delayed": 1, "dead": 1, "done": 3, "cursors": 1
    }  # fmt: skip
    assert [fields[b"m"] for _, fields in stream.client.xrange(stream.keys.lanes[Lane.LIVE])] == [
        fields[b"m"] for _, fields in before[stream.keys.lanes[Lane.LIVE].encode()]
    ]


def test_what_waits_says_that_it_may_have_been_handled_since(run, stream) -> None:
    path = run.backup()
    assert run.json("restore", path, "--force")["revived"]["marked"] == 3
    attempts = [fields[b"r"] for _, fields in stream.client.xrange(stream.keys.lanes[Lane.LIVE])]
    assert attempts == [b"1"] * 3
    # Once more changes nothing: what is marked is marked.
    second = run.backup()
    assert run.json("restore", second, "--force")["revived"]["marked"] == 0


def test_workers_and_supervisors_of_then_are_gone(run, stream) -> None:
    stream.client.xreadgroup(GROUP, "host-1-2-3/7", {stream.keys.lanes[Lane.LIVE]: ">"}, count=2)
    stream.ledger.renew_lease("host-1-2-3", 1000)
    path = run.backup()
    stream.ledger.end_lease("host-1-2-3")
    found = run.json("restore", path, "--force")["revived"]
    assert (found["leases"], found["workers"], found["put_back"]) == (1, 1, 2)
    assert stream.ledger.consumers() == set()
    assert not stream.ledger.lease_lives("host-1-2-3")
    assert [fields[b"r"] for _, fields in stream.client.xrange(stream.keys.again)] == [b"1", b"1"]
    assert stream.client.xlen(stream.keys.lanes[Lane.LIVE]) == 1


def test_books_that_did_not_agree_are_mended(run, stream) -> None:
    stream.client.sadd(stream.keys.queued, stream.identity(3000))
    path = run.backup()
    assert run.json("restore", path, "--force")["revived"]["forgotten"] == 1
    assert stream.ledger.census().agrees


def test_others_in_the_same_redis_keep_what_they_have(run, stream, server) -> None:
    other = server.client()
    other.mset({"shop": "then", "{fmi2:0}:queued": "then"})
    other.execute_command("SELECT", 3)
    elsewhere = RedisServer.client(server)
    elsewhere.connection_pool.connection_kwargs["db"] = 3
    elsewhere.set("{fmi:0}:queued", "another database")
    path = run.backup()
    stream.client.mset({"shop": "now", "{fmi2:0}:queued": "now", "new": "now"})
    elsewhere.set("{fmi:0}:queued", "still another database")
    assert run("restore", path, "--force") == 0, run.err
    assert stream.client.mget("shop", "{fmi2:0}:queued", "new") == [b"now"] * 3
    assert elsewhere.get("{fmi:0}:queued") == b"still another database"


def test_what_was_there_is_in_a_backup_of_its_own(run, stream) -> None:
    path = run.backup()
    stream.append(9)
    later = Path(run.json("restore", path, "--force")["kept"])
    assert states(stream, 9) == ["unknown"]
    assert run("restore", later, "--force") == 0
    assert states(stream, 9) == ["queued"]


def test_into_a_redis_that_lost_all(run, stream) -> None:
    path = run.backup()
    stream.client.flushall()
    found = run.json("restore", path, "--force")
    assert (run.code, found["kept"]) == (0, "")
    assert states(stream, 1, 6) == ["done", "queued"]


def test_a_dry_run_says_all_and_changes_nothing(run, stream) -> None:
    path = run.backup()
    stream.finish()
    before, names = everything(stream), sorted(run.directory.rglob("*"))
    found = run.json("restore", path, "--dry-run")
    assert (found["done"], found["revived"]["marked"]) == (False, 3)
    assert run("restore", path, "--dry-run", "--force") == 0
    assert "Nothing was changed." in run.out
    assert "of the 4 mails that wait" in run.out
    assert everything(stream) == before
    assert sorted(run.directory.rglob("*")) == names


# --- large mails -----------------------------------------------------------------------------------------


def test_large_mails_come_back_and_missing_ones_are_named(run, stream) -> None:
    names = [append_large(run.directory, stream, uid, b"large %d" % uid) for uid in (20, 21, 22)]
    path = run.backup()
    blobs = BlobDirectory(run.directory / "fastmail-ingest-blobs")
    for name in names[1:]:
        blobs.remove(name)
    (path.with_suffix(".blobs") / names[2].rpartition("/")[2]).unlink()
    assert run("restore", path, "--force") == 0, run.err
    assert "of its 3 large mails only 2 are there" in run.out
    assert f"missing: {names[2]}" in run.out
    assert [blobs.has(name) for name in names] == [True, True, False]
    with blobs.open(names[1]) as file:
        assert file.read() == b"large 21"


def test_large_mails_that_are_dead_or_delayed_count_too(run, stream) -> None:
    for uid, end in ((20, stream.bury), (21, stream.delay)):
        append_large(run.directory, stream, uid)
        end(uid + 100)
    path = run.backup()
    shutil.rmtree(run.directory / "fastmail-ingest-blobs")
    found = run.json("restore", path, "--force")["large"]
    assert (found["count"], len(found["to_put_back"]), found["missing"]) == (2, 2, [])


# --- what is refused --------------------------------------------------------------------------------------


def test_while_a_supervisor_works_on_it(run, stream) -> None:
    path = run.backup()
    stream.ledger.renew_lease("host-1-2-3", 1000)
    before = everything(stream)
    assert run("restore", path, "--force") == 3
    assert "fastmail-ingest is at work on it: host-1-2-3" in run.err
    assert run("restore", path, "--dry-run") == 0
    assert "at work on it" in run.out
    assert everything(stream) == before


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) * 2 // 3]


def corrupt(raw: bytes) -> bytes:
    at = len(raw) // 2
    return raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


BAD = [
    (cut, "was cut off: it has", "damaged or was cut off"),
    (corrupt, "its bytes are not those that were written", "damaged or was cut off"),
    (lambda _: b"", "was cut off: it has 0 bytes", "is empty"),
    (lambda _: b"PK\x03\x04 a zip file of somebody's\n" * 50, "bytes", "is no snapshot of Redis or Valkey"),
    (lambda raw: b"REDIS9999" + raw[9:], "its bytes are not those", "a newer or another server wrote it"),
]


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize(
    ("change", "known", "alone"), BAD, ids=["cut", "corrupt", "empty", "foreign", "newer"]
)
def test_a_file_that_is_no_whole_backup(run, stream, with_manifest, change, known, alone) -> None:
    path = run.backup()
    path.write_bytes(change(path.read_bytes()))
    if not with_manifest:
        path.with_suffix(".json").unlink()
    before = everything(stream)
    assert run("restore", path, "--force") == 1
    assert (known if with_manifest else alone) in run.err
    assert "remedy: " in run.err
    assert everything(stream) == before


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_such_a_file_is_refused_whatever_is_asked_for(run, words) -> None:
    path = run.backup()
    path.write_bytes(cut(path.read_bytes()))
    assert run("restore", path, *words) == 1
    assert "was cut off" in run.err


def test_a_snapshot_of_somebody_else(run, stream, server, tmp_path) -> None:
    other = Operated(server)
    other.client.set("{shop:0}:cart", "1")
    other.client.delete(*other.client.keys("{fmi:0}:*"))
    other.client.save()
    path = tmp_path / "theirs.rdb"
    shutil.copy(server.directory / "dump.rdb", path)
    assert run("restore", path, "--force") == 1
    assert "holds nothing under the prefix 'fmi': it holds shop" in run.err


def test_a_backup_of_another_prefix(run, stream, tmp_path) -> None:
    path = run.backup()
    stream.config(tmp_path, 'prefix = "other"\n')
    assert run("restore", path, "--force") == 1
    assert "is of the prefix 'fmi', and [redis] prefix is 'other'" in run.err


def test_a_snapshot_without_a_manifest_is_taken_and_said_so(run, stream) -> None:
    path = run.backup()
    path.with_suffix(".json").unlink()
    stream.finish()
    assert run("restore", path, "--force") == 0, run.err
    assert "it has no manifest" in run.out
    assert states(stream, 6) == ["queued"]


def test_a_file_that_is_not_there(run, tmp_path) -> None:
    assert run("restore", "nowhere.rdb", "--force") == 1
    assert "is not there" in run.err
    assert run("restore", tmp_path, "--force") == 1
    assert "remedy" in run.err


def test_a_redis_without_room_for_it_stays_as_it_is(run, stream, server) -> None:
    for uid in range(100, 200):
        stream.append(uid, raw=b"Subject: %d\r\n\r\n" % uid + os.urandom(20_000))
    path = run.backup()
    stream.append(300)
    before, client = everything(stream), server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 500_000)
    try:
        assert run("restore", path, "--force") == 1
        assert "it needs memory for both" in run.err
        assert everything(stream) == before
    finally:
        client.config_set("maxmemory", 0)


# --- by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("appendonly", ["yes", "no"])
def test_by_hand_as_it_is_printed(run, stream, server, appendonly) -> None:
    client = server.client()
    client.config_set("appendonly", appendonly)
    path = run.backup()
    stream.finish()
    steps = run.json("restore", path)["steps"]
    assert run("restore", path) == 0
    for step in steps:
        assert step["text"] in run.out
        for command in step["commands"]:
            assert command in run.out
            if command.startswith("fastmail-ingest"):
                continue
            # Valkey's own client is not here; Redis' does.
            subprocess.run(["sh", "-ec", command], check=True)
        if "SHUTDOWN" in shlex.join(step["commands"]):
            server.process.wait(30)
        if step["text"].startswith("Start Redis"):
            restart(server, appendonly)
    assert states(stream, 1, 6) == ["done", "queued"]
    restart(server, "yes", anew=True)


def restart(server: RedisServer, appendonly: str, *, anew: bool = False) -> None:
    """Start it with another setting than its own; `anew` ends and clears it first, for the tests that follow."""
    if anew:
        server.kill()
        for name in ("appendonlydir", "dump.rdb"):
            target = server.directory / name
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
    server.start(appendonly=appendonly)
