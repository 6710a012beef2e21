"""Redis is there but refuses to write for a while: nothing stops in silence, and it goes on by itself."""

from support.invariants import assert_invariants
from support.waiting import wait_until

SLOW = "\n\nimport time\n\ndef handle(email):\n    note(email)\n    time.sleep(0.001)\n"


def refused_and_forgiven(run, simulated, client, refuse, forgive) -> None:
    simulated.add(2000)
    run.start()
    run.wait_for_calls(200)
    refuse()
    seen = len(run.text())
    wait_until(lambda: len(run.text()) > seen, "the log says that something is wrong")
    forgive()
    run.wait_for_calls(2000)
    assert run.stop() == 0, run.text()
    run.assert_repeats_are_marked()
    assert_invariants(client)


def test_too_few_replicas(house, simulated, redis_server) -> None:
    client = redis_server.client()
    refused_and_forgiven(
        house(SLOW), simulated, client,
        lambda: client.config_set("min-replicas-to-write", 1),
        lambda: client.config_set("min-replicas-to-write", 0),
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

    refused_and_forgiven(house(SLOW), simulated, client, cut, cut)
