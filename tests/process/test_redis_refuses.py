"""Redis is there but refuses, stalls or forgets: nothing stops in silence, and it goes on by itself."""

import os
import signal

import pytest
from support.invariants import assert_invariants, done_count
from support.waiting import wait_until

SLOW = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.001)\n"


def refused_and_forgiven(
    run, simulated, client, refuse, forgive, *, complaint="Redis is away", times=4
) -> None:
    simulated.add(2000)
    run.start()
    run.wait_for_calls(200)
    refuse()
    # Long enough for every role to meet it more than once.
    wait_until(lambda: run.text().count(complaint) >= times or run.process.poll() is not None, "it is logged")
    forgive()
    wait_until(
        lambda: len(run.handled()) == 2000 or run.process.poll() is not None,
        f"all mails reach the handler; {run.log}",
    )
    assert run.process.poll() is None, run.text()
    assert run.stop() == 0, run.text()
    assert len(run.handled()) == 2000
    run.assert_repeats_are_marked()
    assert_invariants(client)


def test_too_few_replicas(house, simulated, redis_server) -> None:
    client = redis_server.client()
    refused_and_forgiven(
        house(SLOW), simulated, client,
        lambda: client.config_set("min-replicas-to-write", 1),
        lambda: client.config_set("min-replicas-to-write", 0),
        complaint="NOREPLICAS",
        times=20,
    )  # fmt: skip


def test_no_memory_left(house, simulated, redis_server) -> None:
    client = redis_server.client()
    refused_and_forgiven(
        house(SLOW), simulated, client,
        lambda: client.config_set("maxmemory", 1),
        lambda: client.config_set("maxmemory", 0),
    )  # fmt: skip


def test_a_replica_for_a_while(house, simulated, redis_server) -> None:
    client = redis_server.client()
    refused_and_forgiven(
        house(SLOW), simulated, client,
        lambda: client.config_set("replica-read-only", "yes") and client.execute_command("REPLICAOF", "127.0.0.1", "1"),
        lambda: client.execute_command("REPLICAOF", "NO", "ONE"),
    )  # fmt: skip


def test_all_connections_are_cut(house, simulated, redis_server) -> None:
    client = redis_server.client()

    def cut() -> None:
        client.client_kill_filter(_type="normal", skipme=True)

    simulated.add(2000)
    run = house(SLOW).start()
    for count in (200, 600, 1000):
        run.wait_for_calls(count)
        cut()
    run.wait_for_calls(2000)
    assert run.stop() == 0, run.text()
    run.assert_repeats_are_marked()
    assert_invariants(client)


def test_a_removed_consumer_group(house, simulated, redis_server) -> None:
    client = redis_server.client()
    simulated.add(3000)
    run = house(SLOW).start()
    for count in (300, 900, 1500):
        run.wait_for_calls(count)
        for lane in ("again", "live", "backfill"):
            client.xgroup_destroy(f"{{fmi:0}}:{lane}", "workers")
    run.wait_for_calls(3000)
    wait_until(lambda: done_count(client) == 3000, "all is settled")
    assert run.stop() == 0, run.text()
    assert "the consumer group was removed under us" in run.text()
    run.assert_repeats_are_marked()
    assert run.repeats() == 0
    assert_invariants(client)


def test_a_lost_script_cache(house, simulated, redis_server) -> None:
    client = redis_server.client()
    simulated.add(2000)
    run = house(SLOW).start()
    for count in (200, 600, 1000):
        run.wait_for_calls(count)
        client.script_flush()
    run.wait_for_calls(2000)
    assert run.stop() == 0, run.text()
    assert run.repeats() == 0
    assert_invariants(client)


def test_a_server_that_stands_still_for_a_while(house, simulated, redis_server) -> None:
    simulated.add(2000)
    run = house(SLOW).start()
    run.wait_for_calls(300)
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    seen = [0]
    # What is in hand is finished, and then nothing can go on.
    wait_until(lambda: seen[-1] == len(run.calls()) or seen.append(len(run.calls())), "it comes to rest")
    os.kill(redis_server.process.pid, signal.SIGCONT)
    run.wait_for_calls(2000)
    assert run.stop() == 0, run.text()
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


@pytest.mark.parametrize("key", ["live", "queued", "cursor:sim:INBOX", "delayed:body", "bytes", "groups"])
def test_a_key_that_was_deleted_by_hand(house, simulated, redis_server, key) -> None:
    body = """

    import time

    def handle(email):
        note(email)
        time.sleep(0.002)
        if email.uid % 50 == 0 and email.attempt < 3:
            raise ValueError("not yet")
    """
    client = redis_server.client()
    simulated.add(1000)
    run = house(body, producer="poll_min = 0.1\npoll_max = 0.5", retry="first = 0.5").start()
    run.wait_for_calls(300)
    client.delete(f"{{fmi:0}}:{key}")
    run.wait_for_calls(1000)
    wait_until(lambda: done_count(client) == 1000, f"all is settled; {run.log}", 45.0)
    assert run.stop() == 0, run.text()
    assert_invariants(client)


def test_settings_that_may_lose_mails_are_named_at_the_start(house, redis_server) -> None:
    client = redis_server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    run = house()
    assert run.run("--once") == 0, run.text()
    assert "remedy: maxmemory-policy noeviction" in run.text()
    assert "remedy: appendonly yes" in run.text()


def test_a_full_redis_pauses_fetching_before_it_refuses(house, simulated, redis_server) -> None:
    client = redis_server.client()
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used + 30_000_000)
    share = (used + 15_000_000) / (used + 30_000_000)
    simulated.add(20_000)
    body = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.002)\n"
    run = house(body, producer=f"high_water = 1000000\nredis_memory = {share:.2f}").start()
    wait_until(lambda: "of its memory, fetching pauses" in run.text(), "fetching pauses")
    run.wait_for_calls(5000)
    assert "OOM" not in run.text()
    assert run.stop() == 0
    assert_invariants(client)


def test_bytes_in_the_stream_pause_fetching(house, simulated, redis_server) -> None:
    simulated.add(2000)
    run = house(producer="high_water_bytes = 200000\nwindow = 50").start()
    wait_until(lambda: "MB of mail wait in the stream, fetching pauses" in run.text(), "fetching pauses")
    assert int(redis_server.client().get("{fmi:0}:bytes") or 0) < 600_000
    run.wait_for_calls(2000)
    assert run.stop() == 0
    assert run.repeats() == 0
    assert_invariants(redis_server.client())


@pytest.mark.parametrize("key", ["queued", "delayed", "dead", "bytes"])
def test_a_key_of_the_wrong_kind(house, simulated, redis_server, key) -> None:
    client = redis_server.client()
    run = house(SLOW, producer="poll_min = 0.1\npoll_max = 0.5").start()
    simulated.add(200)
    run.wait_for_calls(200)
    wait_until(lambda: done_count(client) == 200, "all is settled")
    client.set(f"{{fmi:0}}:{key}", "not ours")
    simulated.add(200)
    wait_until(lambda: "trying again" in run.text(), "it is logged")
    client.delete(f"{{fmi:0}}:{key}")
    run.wait_for_calls(400)
    wait_until(lambda: done_count(client) == 400, "all is settled again")
    assert run.stop() == 0, run.text()
    assert "died" not in run.text()
    assert_invariants(client)
