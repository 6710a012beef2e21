"""An import that is killed, stopped or cut off from Redis goes on, and no mail is lost or doubled."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support.invariants import assert_invariants, done_count
from support.mboxes import mail, mbox
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.model.identity import content_hash

COUNT = 3000
MAILS = [mail(number, 500) for number in range(COUNT)]
# So few may wait that an import is never done before it is killed.
SETTINGS = {"producer": "append_max = 10\nhigh_water = 100"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "old.mbox"
    path.write_bytes(mbox(MAILS))
    return path


def importing(run: Supervised, archive: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fastmail_ingest", "import", str(archive), "--config", str(run.config)]
    return subprocess.Popen(command, cwd=run.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def assert_each_came_once(run: Supervised, client: redis.Redis) -> None:
    wait_until(lambda: done_count(client) == COUNT, "all are handled", 60)
    assert run.handled() == {f"sim:import:{content_hash(each).hex()}" for each in MAILS}
    assert run.repeats() == 0
    assert_invariants(client, workers_live=True)


def test_killed_again_and_again(
    house: Callable[..., Supervised], archive: Path, redis_server: RedisServer
) -> None:
    run = house(**SETTINGS).start()
    for number in range(1, 5):
        process = importing(run, archive)
        run.wait_for_lines(COUNT * number // 6)
        assert process.poll() is None
        process.kill()
        process.communicate()
    process = importing(run, archive)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert int(out.split()[0]) < COUNT // 2
    assert_each_came_once(run, redis_server.client())


def test_stopped_by_ctrl_c(
    house: Callable[..., Supervised], archive: Path, redis_server: RedisServer
) -> None:
    run = house(**SETTINGS).start()
    process = importing(run, archive)
    run.wait_for_lines(200)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, b"")
    assert b"the same command goes on" in out
    assert importing(run, archive).wait(60) == 0
    assert_each_came_once(run, redis_server.client())


def test_redis_goes_away_and_comes_back(
    house: Callable[..., Supervised], archive: Path, redis_server: RedisServer
) -> None:
    run = house(**SETTINGS).start()
    process = importing(run, archive)
    run.wait_for_lines(200)
    redis_server.kill()
    redis_server.start()
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    wait_until(lambda: done_count(redis_server.client()) == COUNT, "all are handled", 60)
    assert run.handled() == {f"sim:import:{content_hash(each).hex()}" for each in MAILS}
    run.assert_repeats_are_marked()


def test_live_mail_overtakes_an_import(
    house: Callable[..., Supervised], archive: Path, simulated, redis_server: RedisServer
) -> None:
    run = house(**SETTINGS).start()
    process = importing(run, archive)
    run.wait_for_lines(200)
    simulated.add(50)
    wait_until(
        lambda: sum(name.startswith("sim:INBOX") for name in run.handled()) == 50, "live mail is handled"
    )
    # It did not wait for the import, and fetching never paused for it.
    assert process.poll() is None
    assert "fetching pauses" not in run.text()
    process.kill()
    process.communicate()
