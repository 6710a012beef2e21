"""The roles of a supervisor, in the order in which they stop."""

import signal
from collections.abc import Callable

from fastmail_ingest.admin.history import History
from fastmail_ingest.app.maintenance_role import run_maintenance
from fastmail_ingest.app.producer_role import connections, run_producer
from fastmail_ingest.app.runtime import Runtime
from fastmail_ingest.app.worker_role import run_worker
from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.stream.server import OwnServer
from fastmail_ingest.supervisor.child import die_with_parent
from fastmail_ingest.supervisor.role import Child, Role
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.telemetry.lines import set_component
from fastmail_ingest.telemetry.logs import in_child

STAGE_PRODUCER, STAGE_WORKER, STAGE_MAINTENANCE, STAGE_SURROUNDINGS, STAGE_SERVER, STAGE_ADMIN = range(6)
# An async handler is cancelled at handler.timeout; the process is killed only if that does not help.
_HANG_GRACE_S = 5.0


def main_roles(
    current: Callable[[], Runtime], procs: int, progress: Callable[[], int] | None = None
) -> list[Role]:
    """Workers, producers, maintenance and admin; `current` gives the runtime that a new child shall have.

    `progress` is how many mails the workers have finished so far.
    """
    runtime = current()
    policy = runtime.restart_policy
    worker = Role(
        "worker", STAGE_WORKER,
        lambda child: in_child(f"worker-{child.number}", lambda: run_worker(current(), child)), policy,
        count=procs, finite=runtime.once, cleared_up=True, rolls=True, scales=True,
        progress=progress, hang_after_s=lambda: _hang_after_s(current()),
    )  # fmt: skip
    producers = min(runtime.config.producer.processes, max(1, len(connections(runtime.config.accounts))))
    producer = Role(
        "producer", STAGE_PRODUCER,
        lambda child: in_child(
            f"producer-{child.number}", lambda: run_producer(current(), child, producers)
        ),
        policy, count=producers, finite=runtime.once, rolls=True,
    )  # fmt: skip
    maintenance = Role(
        "maintenance", STAGE_MAINTENANCE,
        lambda child: in_child("maintenance", lambda: run_maintenance(current(), child, worker_role=0)),
        policy, start_first=True,
    )  # fmt: skip
    # What runs for a moment has nobody who looks at it, and must not take the port of what runs for long.
    watched = runtime.config.admin.port and not runtime.once
    return [worker, producer, maintenance, *([_admin_role(current, policy)] if watched else [])]


def _admin_role(current: Callable[[], Runtime], policy: RestartPolicy) -> Role:
    """The last to stop, so the first to start: it tells what keeps the others from starting."""
    history = History()

    def run(child: Child) -> int:
        # Only its own process needs the HTTP server, and starts seldom.
        from fastmail_ingest.app.admin_role import run_admin  # noqa: PLC0415

        return in_child("admin", lambda: run_admin(current(), child, history))

    return Role("admin", STAGE_ADMIN, run, policy, rolls=True, optional=True)


def _hang_after_s(runtime: Runtime) -> float:
    plan = runtime.call_plan
    return plan.timeout_s + (_HANG_GRACE_S if plan.is_async else 0.0)


def server_role(server: OwnServer, runtime: Runtime) -> Role:
    """Our own Redis: the first to start, the last to stop, started again when it dies."""

    def run(_: Child) -> int:
        set_component("redis")
        # It is told to end, not killed, when we die: so it can still write its file.
        die_with_parent(signal.SIGTERM)
        server.become()

    return Role(
        "redis", STAGE_SERVER, run, runtime.restart_policy, probe=server.answers, start_first=True
    )  # fmt: skip


def slot_table(roles: list[Role], runtime: Runtime) -> SlotTable:
    """Room for all children, and for as many dead workers as may wait to be cleared up after."""
    workers = sum(role.count for role in roles if role.cleared_up)
    others = sum(role.count for role in roles if not role.cleared_up)
    handler = runtime.config.handler
    cells = max(1, handler.concurrency, handler.threads, handler.batch_size)
    return SlotTable(4 * workers + 16 + 2 * others, cells)
