"""The main job: from the configuration to a running, watched pool, and its last line."""

import faulthandler
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from fastmail_ingest.app.develop.reload_role import Watch
from fastmail_ingest.app.herald import Herald
from fastmail_ingest.app.node import node_id
from fastmail_ingest.app.roles import main_roles, server_role, slot_table
from fastmail_ingest.app.runtime import Runtime, knowing_redis, reloaded
from fastmail_ingest.app.tally import left_over
from fastmail_ingest.app.watchdog import Watchdog
from fastmail_ingest.config import Config, mask_url
from fastmail_ingest.errors import (
    EXIT_DRAIN_CUT_SHORT,
    EXIT_OK,
    EXIT_ROLE_FAILED,
    EXIT_UNAVAILABLE,
    FastmailIngestError,
)
from fastmail_ingest.handler.chain import load as load_handler
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.policy.breaker import State as Breaker
from fastmail_ingest.stream.advice import advice
from fastmail_ingest.stream.connect import connect, saying_where, wait_while_loading
from fastmail_ingest.stream.server import OwnServer, find_binary
from fastmail_ingest.supervisor.cpus import usable_cpus
from fastmail_ingest.supervisor.hooks import Hooks
from fastmail_ingest.supervisor.interruptible import Interrupted, interruptible
from fastmail_ingest.supervisor.notify import Notifier
from fastmail_ingest.supervisor.report import Report
from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.slots import SlotTable, State
from fastmail_ingest.supervisor.supervisor import Supervisor
from fastmail_ingest.telemetry import tracing
from fastmail_ingest.telemetry.counters import Counter
from fastmail_ingest.telemetry.metrics_directory import MetricsDirectory

_log = logging.getLogger(__name__)

# The user's modules are imported in the supervisor, which does nothing else meanwhile.
_RELOAD_MAX_S = 60.0


class Household:
    """One supervisor with everything around it; made before any process is forked."""

    def __init__(self, config: Config, config_path: Path | None, *, once: bool) -> None:
        self._config_path = config_path
        tracing.check(enabled=config.tracing.enabled)
        self.server = None if config.redis.url else OwnServer(find_binary(), Path(config.redis.data_dir))
        url = self.server.url if self.server else config.redis.url
        handler = load_handler(knowing_redis(config, url), search_paths(config_path))
        self.runtime = Runtime(config, handler, url, node_id(os.getpid()), once)
        self.table: SlotTable | None = None
        self.procs = usable_cpus() if config.worker.procs == "auto" else config.worker.procs

    def check_redis(self, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Raise with a remedy if Redis cannot be reached, or our own cannot be started.

        `waiting` is told again and again what takes long, if something does.
        """
        # Where large mails are kept is the other half of the stream: without it they would be stuck later.
        self.runtime.blobs.prepare()
        if self.server is not None:
            self.server.prepare()
            return
        url, password = self.runtime.redis_url, self.runtime.config.redis.password
        with saying_where(url):
            client = connect(url, password)
            wait_while_loading(client, waiting)
            client.close()
            for sentence in advice(url, password):
                _log.warning("%s", sentence)

    def roles(self) -> list[Role]:
        """The roles of the main job, with our own Redis if there is one."""
        roles = main_roles(lambda: self.runtime, self.procs, self.progress)
        if self.server is not None:
            roles.append(server_role(self.server, self.runtime))
        return roles

    def progress(self) -> int:
        """How many mails the workers have finished so far."""
        return self.table.total(Counter.DONE) if self.table is not None else 0

    def reload(self, load: Callable[[], Config]) -> bool:
        """Take over a changed configuration; one that is wrong changes nothing, and False is returned."""
        try:
            with interruptible(_RELOAD_MAX_S):
                config = keep_what_stays(load(), self.runtime.config)
                self.runtime = reloaded(self.runtime, config, self._config_path)
            _log.info("configuration reloaded; replacing the processes one by one")
        except (FastmailIngestError, Interrupted) as error:
            _log.error("not reloaded, going on as before: %s", error)
            return False
        return True


def keep_what_stays(config: Config, running: Config) -> Config:
    """The new configuration with what cannot change under the living: the stream, and who there is at all."""
    later = "that takes effect only when fastmail-ingest is started anew"
    admin = config.admin
    if config.redis != running.redis:
        _log.warning("[redis] changed: %s", later)
    if config.blobs.directory != running.blobs.directory:
        _log.warning("[blobs] directory changed: %s", later)
    if bool(admin.port) != bool(running.admin.port):
        _log.warning("[admin] port changed from or to 0: %s", later)
        admin = running.admin
    blobs = msgspec.structs.replace(config.blobs, directory=running.blobs.directory)
    return msgspec.structs.replace(config, redis=running.redis, blobs=blobs, admin=admin)


def supervise(
    config: Config,
    config_path: Path | None,
    *,
    once: bool,
    load: Callable[[], Config],
    reload_on_change: bool = False,
) -> int:
    """Run until stopped, or with `once` until all is done; returns the exit code."""
    with MetricsDirectory.make():
        return _supervise(config, config_path, once=once, load=load, reload_on_change=reload_on_change)


def _supervise(
    config: Config,
    config_path: Path | None,
    *,
    once: bool,
    load: Callable[[], Config],
    reload_on_change: bool,
) -> int:
    # Compiled files go by the second in which a source was changed: too coarse for somebody at work on it.
    sys.dont_write_bytecode |= reload_on_change
    # What a handler prints is lost with a worker that is killed, unless it goes out line by line.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # A watchdog's SIGABRT, or a crash in C: the log shall say where.
    faulthandler.enable()
    # Before anything of the user's is imported: the service manager's words are for us alone.
    herald = Herald(Notifier.take(os.environ))
    household = Household(config, config_path, once=once)
    watch = Watch(lambda: household.runtime, config_path) if reload_on_change else None
    household.check_redis(herald.waiting)
    roles = household.roles()
    if watch is not None:
        roles.append(watch.role())
    table = household.table = slot_table(roles, household.runtime)
    log_start(household)

    def reload() -> bool:
        if watch is not None:
            watch.note()
        herald.reloading()
        taken = household.reload(load)
        herald.reloaded(taken=taken)
        return taken

    hooks = Hooks(
        reload=reload,
        status=lambda: log_status(table, roles),
        find_stuck=Watchdog(table, config.supervisor.stall_timeout),
        pulse=lambda phase: herald.pulse(phase, table),
        pulse_s=herald.pulse_s,
    )
    report = Supervisor(roles, table, config.supervisor.drain_timeout, hooks).run()
    log_report(report, table)
    herald.last_words(report.failed or f"stopped: {report.reason}")
    return exit_code(report)


def log_start(household: Household) -> None:
    """The first line: what is about to run."""
    config = household.runtime.config
    _log.info(
        "%d workers, %d mailboxes of %d accounts, handler %s, Redis %s",
        household.procs,
        sum(len(account.mailboxes) for account in config.accounts),
        len(config.accounts),
        ", ".join(config.handler.targets),
        mask_url(household.runtime.redis_url),
    )


def log_status(table: SlotTable, roles: list[Role]) -> None:
    """What USR1 asks for: one line a child."""
    for slot in table:
        if slot.state is not State.FREE:
            _log.info(
                "%s pid %d %s: %d taken, %d done, %d fetched, batches of %d; breakers: handler %s, Redis %s, "
                "%d accounts open",
                roles[slot.role].name,
                slot.pid,
                slot.state.name.lower(),
                slot.get(Counter.TAKEN),
                slot.get(Counter.DONE),
                slot.get(Counter.FETCHED),
                slot.get(Counter.BATCH_SIZE),
                Breaker(slot.get(Counter.HANDLER_BREAKER)).name.lower(),
                Breaker(slot.get(Counter.REDIS_BREAKER)).name.lower(),
                slot.get(Counter.ACCOUNTS_OPEN),
            )


def log_report(report: Report, table: SlotTable) -> None:
    """The last line: what was done, what was given back, what is left."""
    backlog, waiting, dead = left_over(table)
    _log.info(
        "stopped in %.1f s (%s): %d fetched, %d handled, %d put back, %d restarts; left in the stream: "
        "%d to handle, %d waiting for a retry, %d dead letters",
        report.drain_s,
        report.reason,
        table.total(Counter.FETCHED),
        table.total(Counter.DONE),
        table.total(Counter.PUT_BACK),
        report.restarts,
        backlog,
        waiting,
        dead,
    )


def exit_code(report: Report) -> int:
    """What the shell is told."""
    if report.failed:
        return EXIT_ROLE_FAILED
    if report.complaints:
        return EXIT_UNAVAILABLE
    return EXIT_DRAIN_CUT_SHORT if report.killed else EXIT_OK
