"""From the words of the command line to calls of `app`."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from fastmail_ingest.cli.options import chosen
from fastmail_ingest.config import Config, WorkerConfig, load
from fastmail_ingest.errors import ConfigError
from fastmail_ingest.telemetry import logs


def supervise(
    config_path: Path | None,
    procs: str | None,
    pid_file: Path | None,
    *,
    once: bool,
    reload: bool,
) -> int:
    """`fastmail-ingest supervise`."""
    path = chosen(config_path)

    def read() -> Config:
        return _with_procs(load(path, os.environ), procs)

    config = read()
    logs.set_up(config.logging.level, config.logging.format)
    from fastmail_ingest.app.daemon.place import held  # noqa: PLC0415 - each verb loads its own
    from fastmail_ingest.app.supervise import supervise as work  # noqa: PLC0415
    from fastmail_ingest.supervisor.wakeups import heed_term_as_init  # noqa: PLC0415

    heed_term_as_init()
    with held(pid_file, config.supervisor.drain_timeout), logs.told():
        return work(config, path, once=once, load=read, reload_on_change=reload)


def dry_run(config_path: Path | None, *, as_json: bool) -> int:
    """`fastmail-ingest supervise --dry-run`."""
    from fastmail_ingest.app.dry_run import dry_run as show  # noqa: PLC0415

    path = chosen(config_path)
    config = load(path, os.environ)
    logs.set_up(config.logging.level, config.logging.format)
    return show(config, path, as_json=as_json)


def demo(*, once: bool, rate: float, procs: str | None) -> int:
    """`fastmail-ingest demo`."""
    from fastmail_ingest.app.demo.run import demo as show  # noqa: PLC0415

    return show(once=once, rate=rate, procs=_procs(procs or "auto"))


def _with_procs(config: Config, procs: str | None) -> Config:
    if procs is None:
        return config
    return msgspec.structs.replace(config, worker=msgspec.structs.replace(config.worker, procs=_procs(procs)))


def _procs(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return msgspec.convert({"procs": int(text)}, WorkerConfig).procs
    except (ValueError, msgspec.ValidationError):
        raise ConfigError(f"--procs: expected auto or a number from 1 to 1024, got {text!r}") from None


def bench(options: dict[str, object], procs: str | None, *, as_json: bool) -> int:
    """`fastmail-ingest bench`; `options` are the fields of a BenchPlan, but for procs."""
    from fastmail_ingest.app.bench.plan import BenchPlan  # noqa: PLC0415
    from fastmail_ingest.app.bench.run import bench as measure  # noqa: PLC0415

    return measure(msgspec.convert({**options, "procs": _procs(procs or "auto")}, BenchPlan), as_json=as_json)
