"""Runs one measurement: the main job under its real supervisor, with a mail server beside it."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec

from fastmail_ingest.app.bench import plan as planning
from fastmail_ingest.app.bench.plan import BenchPlan
from fastmail_ingest.app.bench.probe import LatencyJournal
from fastmail_ingest.app.bench.result import Ran, collect, print_table
from fastmail_ingest.app.bench.roles import run_filler, run_mail_server, run_referee
from fastmail_ingest.app.roles import STAGE_PRODUCER, STAGE_SURROUNDINGS, slot_table
from fastmail_ingest.app.supervise import Household, exit_code
from fastmail_ingest.errors import EXIT_FAILURE
from fastmail_ingest.simulator import Corpus
from fastmail_ingest.stream.erase import erase, server_version
from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.supervisor import Supervisor
from fastmail_ingest.telemetry import logs
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory

_SAMPLE = 1000  # mails whose mean size is stated
_SETTLED_TIMEOUT_S = 30.0


def bench(plan: BenchPlan, *, as_json: bool) -> int:
    """Measure, print, clean up; exit code 1 if a mail was lost or came twice."""
    logs.set_up("warning", "auto")
    with tempfile.TemporaryDirectory(prefix="fmi-bench-") as directory, MetricsDirectory.make():
        return _measure(plan, Path(directory), as_json=as_json)


def _measure(plan: BenchPlan, directory: Path, *, as_json: bool) -> int:
    mails, port = planning.corpus(plan), planning.free_port()
    prefix = f"fmi-bench-{os.getpid()}"
    household = Household(planning.config(plan, directory, port, prefix), None, once=False)
    household.runtime = replace(household.runtime, watcher=lambda: LatencyJournal(directory))
    household.check_redis()
    roles = [
        *_roles(household, plan, mails, port),
        _referee(household, plan),
    ]
    table = slot_table(roles, household.runtime)
    supervisor = Supervisor(roles, table, _SETTLED_TIMEOUT_S)
    try:
        report = supervisor.run()
    finally:
        if plan.redis_url:
            erase(plan.redis_url, prefix)
    mean = sum(len(head) + len(body) for head, body in map(mails.render, range(_SAMPLE))) // _SAMPLE
    version = server_version(household.server, plan.redis_url)
    result = collect(Ran(plan, roles, table, report, directory, version, mean))
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        print_table(result)
    return exit_code(report) or (EXIT_FAILURE if result.lost or result.duplicated else 0)


def _roles(household: Household, plan: BenchPlan, mails: Corpus, port: int) -> list[Role]:
    runtime, roles = household.runtime, household.roles()
    if plan.source == "stream":
        filler = Role(
            "filler", STAGE_SURROUNDINGS, lambda child: run_filler(plan, mails, runtime, child),
            runtime.restart_policy, start_first=True,
        )  # fmt: skip
        return [*(role for role in roles if role.name != "producer"), filler]
    server = Role(
        "simulator", STAGE_SURROUNDINGS, lambda child: run_mail_server(plan, mails, port, child),
        runtime.restart_policy, start_first=True,
    )  # fmt: skip
    return [*roles, server]


def _referee(household: Household, plan: BenchPlan) -> Role:
    return Role(
        "referee", STAGE_PRODUCER, lambda child: run_referee(plan, child),
        household.runtime.restart_policy, finite=True,
    )  # fmt: skip
