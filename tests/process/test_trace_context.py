"""A mail keeps its place in its trace, whatever becomes of it: retry, worker's death, dead letter, replay."""

import os
import signal
import subprocess
import sys

from support.waiting import wait_until

from fastmail_ingest.model.trace import parse

TELLS = """
    import os, signal

    def handle(email):
        os.write(CALLS, f"{email.id} {email.attempt} {email.correlation_id} {email.traceparent}\\n".encode())
        if not os.path.exists(email.id):
            open(email.id, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if not os.path.exists("well"):
            raise ValueError
"""


def test_it_is_the_same_in_each_try_and_after_a_replay(house, simulated) -> None:
    simulated.add(3)
    run = house(TELLS, retry="attempts = 2\nfirst = 0.05", worker="procs = 1").start()

    def told() -> list[list[str]]:
        return [line.split() for line in run.calls_file.read_text().splitlines()]

    run.wait_for_lines(9)
    wait_until(lambda: run.text().count("is a dead letter now") == 3, "all three are dead letters")
    (run.directory / "well").touch()
    replay = [
        sys.executable,
        "-m",
        "fastmail_ingest",
        "dead",
        "replay",
        "--all",
        "--yes",
        "--config",
        str(run.config),
    ]
    subprocess.run(replay, check=True, cwd=run.directory, capture_output=True)
    run.wait_for_lines(12)
    os.kill(run.pid, signal.SIGTERM)
    run.wait()
    contexts = {
        identity: {tuple(rest) for _, _, *rest in (c for c in told() if c[0] == identity)}
        for identity, *_ in told()
    }
    assert len(contexts) == 3
    assert all(len(seen) == 1 for seen in contexts.values()), contexts
    for ((correlation_id, traceparent),) in contexts.values():
        context = parse(traceparent)
        assert context is not None
        assert (context.trace_id, context.sampled) == (correlation_id, False)
    assert len({correlation_id for ((correlation_id, _),) in contexts.values()}) == 3
