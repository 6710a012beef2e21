"""Puts the demo together: sample mailboxes on a simulated server, our own Redis, the main job, a picture."""

import asyncio
import secrets
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Literal

import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fastmail_ingest.app.bench.plan import free_port
from fastmail_ingest.app.demo.picture import Picture
from fastmail_ingest.app.roles import STAGE_MAINTENANCE, STAGE_SURROUNDINGS, slot_table
from fastmail_ingest.app.supervise import Household, exit_code
from fastmail_ingest.app.tally import left_over
from fastmail_ingest.config import (
    Account,
    AdminConfig,
    BlobsConfig,
    Config,
    HandlerConfig,
    RedisConfig,
    WorkerConfig,
)
from fastmail_ingest.errors import EXIT_OK
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.policy.restart import RestartPolicy
from fastmail_ingest.simulator import ImapServer, Store, deliver, demo_account, mixed
from fastmail_ingest.supervisor.report import Report
from fastmail_ingest.supervisor.role import Child, Role
from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.supervisor.supervisor import Supervisor
from fastmail_ingest.telemetry import logs
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory

_FRAMES_PER_S = 5
_NEVER = 1 << 40
_DRAIN_TIMEOUT_S = 10.0


def demo(*, once: bool, rate: float, procs: int | Literal["auto"]) -> int:
    """Run until Ctrl-C, or with `once` until the sample mailboxes are handled; prints a summary."""
    logs.set_up("warning", "auto")
    with tempfile.TemporaryDirectory(prefix="fmi-demo-") as directory, MetricsDirectory.make():
        return _demo(Path(directory), once=once, rate=rate, procs=procs)


def _demo(directory: Path, *, once: bool, rate: float, procs: int | Literal["auto"]) -> int:
    port = free_port()
    household = Household(_config(directory, port, procs), None, once=once)
    household.check_redis()
    roles = household.roles()
    policy = household.runtime.restart_policy
    roles.append(_mail_server(port, 0.0 if once else rate, policy))
    table = slot_table(roles, household.runtime)
    if not once and sys.stdout.isatty():
        roles.append(Role("picture", STAGE_MAINTENANCE, lambda child: _run_picture(child, roles), policy))
    elif not once:
        sys.stdout.write("demo runs; Ctrl-C stops it and prints the summary\n")
    if not once:
        _say_where(household.runtime.config.admin)
    report = Supervisor(roles, table, _DRAIN_TIMEOUT_S).run()
    _print_summary(table, report)
    return exit_code(report)


def _config(directory: Path, port: int, procs: int | Literal["auto"]) -> Config:
    sample = demo_account()
    account = Account(
        name="demo",
        host="127.0.0.1",
        port=port,
        tls="off",
        user=sample.user,
        password=sample.password,
        mailboxes=sorted(sample.mailboxes),
    )
    return Config(
        redis=RedisConfig(data_dir=str(directory / "redis")),
        blobs=BlobsConfig(directory=str(directory / "blobs")),
        accounts=[account],
        worker=WorkerConfig(procs=procs),
        handler=HandlerConfig(target="fastmail_ingest.app.demo.handler:handle"),
        admin=AdminConfig(port=_admin_port(), token=secrets.token_urlsafe()),
    )


def _admin_port() -> int:
    """The usual one, if nobody uses it."""
    usual = AdminConfig().port
    try:
        with socket.create_server((AdminConfig().host, usual)):
            return usual
    except OSError:
        return free_port()


def _say_where(admin: AdminConfig) -> None:
    sys.stdout.write(f"see it at http://{admin.host}:{admin.port}/ with the token {admin.token}\n")
    sys.stdout.flush()


def _mail_server(port: int, rate: float, policy: RestartPolicy) -> Role:
    def run(child: Child) -> int:
        return _run_mail_server(port, rate, child)

    return Role("simulator", STAGE_SURROUNDINGS, run, policy, start_first=True)


def _run_mail_server(port: int, rate: float, child: Child) -> int:
    uvloop.run(_serve(port, rate, child))
    return EXIT_OK


async def _serve(port: int, rate: float, child: Child) -> None:
    account = demo_account()
    server = ImapServer(Store([account]), port=port)
    await server.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    child.slot.ready()
    inbox = account.mailbox("INBOX")
    delivery = None
    if rate and inbox is not None:
        delivery = asyncio.create_task(deliver(inbox, mixed(), rate, _NEVER, loop.time()))
    await stop.wait()
    if delivery is not None:
        delivery.cancel()
    await server.close()


def _run_picture(child: Child, roles: list[Role]) -> int:
    stopper = Stopper()
    signal.signal(signal.SIGTERM, lambda *_: stopper.stop())
    picture = Picture(child.table, roles)
    with Live(console=Console(), refresh_per_second=_FRAMES_PER_S, transient=True) as live:
        child.slot.ready()
        while stopper.wait(1 / _FRAMES_PER_S):
            live.update(picture.frame())
    return EXIT_OK


def _print_summary(table: SlotTable, report: Report) -> None:
    done = table.total(Counter.DONE)
    latency_ms = table.total(Counter.LATENCY_SUM_US) / max(done, 1) / 1000
    backlog, waiting, dead = left_over(table)
    summary = Table(title="fastmail-ingest demo: summary", show_header=False)
    rows = [
        ("mails fetched over IMAP", f"{table.total(Counter.FETCHED):,}"),
        ("handled by your (sample) handler", f"{done:,}"),
        ("mean time from fetched to settled", f"{latency_ms:.1f} ms"),
        ("left in the stream / waiting for a retry / dead letters", f"{backlog} / {waiting} / {dead}"),
        ("processes restarted", str(report.restarts)),
        ("time to stop", f"{report.drain_s:.2f} s"),
    ]
    for what, value in rows:
        summary.add_row(what, value)
    console = Console()
    console.show_cursor(True)
    console.print(summary)
    console.print("Your own handler: see README.md, five minutes from here.")
