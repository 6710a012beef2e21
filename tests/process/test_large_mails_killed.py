"""Whoever dies around a large mail: it reaches the handler whole, and no blob stays that nobody needs."""

import os
import signal
from collections.abc import Iterator

import pytest
from support.invariants import assert_invariants
from support.large_mail import BLOBS, HANDLER, files, large_mail, told
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.simulator import Line, Link, ServerThread, mail_of

BIG = 20_000_000
SLOW = Line(bytes_per_s=5_000_000)
HANGS_ONCE = """

    import hashlib, os, pathlib, time

    def handle(email):
        with email.open() as file:
            digest = hashlib.sha256(file.read(1000))
            if email.attempt == 1:
                pathlib.Path("reading").write_text(str(os.getpid()))
                time.sleep(1000)
            while chunk := file.read(65536):
                digest.update(chunk)
        os.write(CALLS, f"{email.subject} {email.size} {digest.hexdigest()} {email.attempt}\\n".encode())
"""


@pytest.fixture
def slow(simulated, tmp_path, redis_server: RedisServer) -> Iterator["Slow"]:
    """Supervised processes that reach the mail server over a slow line."""
    with ServerThread(Link(simulated.port)) as link:
        made = Slow(link, simulated, tmp_path, redis_server)
        yield made
        for each in made.made:
            each.close()


class Slow:
    def __init__(self, link, simulated, directory, server: RedisServer) -> None:
        self.link, self._simulated, self._directory, self._server = link, simulated, directory, server
        self.made: list[Supervised] = []

    def add(self, *raws: bytes) -> None:
        mailbox = self._simulated.mailbox
        self._simulated.server.call(lambda: [mailbox.append(mail_of(raw)) for raw in raws])

    def supervised(self, body: str = HANDLER) -> Supervised:
        made = Supervised(self._directory, self.link.port, self._server.url, body, blobs=BLOBS)
        self.made.append(made)
        return made


def lines_of(run: Supervised) -> list[str]:
    return [line.rsplit(" ", 1)[0] for line in run.calls_file.read_text().splitlines()]


def drafts(run: Supervised) -> list[int]:
    """The sizes of the drafts there are."""
    return [path.stat().st_size for path in files(run.directory) if path.parent.name == "incoming"]


def blobs(run: Supervised) -> list[int]:
    return [path.stat().st_size for path in files(run.directory) if path.parent.name != "incoming"]


def kill(run: Supervised, role: str) -> int:
    pid = run.children(role)[0]
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.parametrize("role", ["producer", "all"])
def test_kill_9_in_the_middle_of_a_large_mail(slow, redis_server, role) -> None:
    raws = [large_mail(0, 2000), large_mail(1, BIG), large_mail(2, 300_000)]
    run = slow.supervised().start()
    slow.add(raws[0])
    run.wait_for_lines(1)
    slow.link.call(lambda: slow.link.server.change(SLOW))
    slow.add(*raws[1:])
    wait_until(lambda: any(0 < size < BIG for size in drafts(run)), "a part of it is there")
    if role == "all":
        run.close()
    else:
        kill(run, role)
    assert blobs(run) == []
    slow.link.call(lambda: slow.link.server.change(Line()))
    if role == "all":
        run.start()
    run.wait_for_lines(3)
    assert run.stop() == 0
    assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(raws))
    assert_invariants(redis_server.client())
    assert blobs(run) == []
    assert len(drafts(run)) <= 1  # that of the killed, for the sweep


def test_kill_9_of_the_producer_between_the_blob_and_its_entry(slow, redis_server) -> None:
    raws = [large_mail(number, 300_000) for number in range(3)]
    run = slow.supervised().start()
    slow.add(raws[0])  # so that this database has named its blobs
    run.wait_for_lines(1)
    wait_until(lambda: not files(run.directory), "all is settled and removed")
    client = redis_server.client()
    client.client_pause(60_000, all=False)  # writes wait: nothing can be appended
    slow.add(*raws[1:])
    wait_until(lambda: len(blobs(run)) == 2, "both are durable")
    kill(run, "producer")
    assert len(blobs(run)) == 2
    client.client_unpause()
    run.wait_for_lines(3)
    assert run.stop() == 0
    assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(raws))
    assert files(run.directory) == []
    assert_invariants(client)


def test_kill_9_of_a_worker_that_reads_a_large_mail(slow, redis_server) -> None:
    raw = large_mail(1)
    slow.add(raw)
    run = slow.supervised(HANGS_ONCE).start()
    reading = run.directory / "reading"
    wait_until(lambda: reading.exists() and reading.read_text(), "a handler reads it")
    assert blobs(run) == [len(raw)]
    os.kill(int(reading.read_text()), signal.SIGKILL)
    run.wait_for_lines(1)
    assert run.stop() == 0
    assert run.calls_file.read_text() == f"{told(1, raw)} 2\n"
    assert files(run.directory) == []
    assert_invariants(redis_server.client())


def test_kill_9_of_everything_while_large_mails_wait(slow, redis_server) -> None:
    raws = [large_mail(number) for number in range(4)]
    slow.add(*raws)
    run = slow.supervised(HANGS_ONCE).start()
    wait_until(
        lambda: len(blobs(run)) == 4 and (run.directory / "reading").exists(), "all wait, some are begun"
    )
    run.close()
    wait_until(lambda: not run.children(), "nobody is left")
    again = slow.supervised(HANDLER).start()
    again.wait_for_lines(4)
    assert again.stop() == 0
    assert sorted(lines_of(again)) == sorted(told(number, raw) for number, raw in enumerate(raws))
    assert files(again.directory) == []
    assert_invariants(redis_server.client())
