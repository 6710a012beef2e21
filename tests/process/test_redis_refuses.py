"""Redis is there but refuses to write for a while: nothing stops in silence, and it goes on by itself."""

from support.invariants import assert_invariants
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
