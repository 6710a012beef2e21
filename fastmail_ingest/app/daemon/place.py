"""Where a supervisor without a service manager keeps its PID file and its log: beside its configuration."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from fastmail_ingest.supervisor.pid_file import PidFile
from fastmail_ingest.supervisor.supervisor import LAST_STAGES_GRACE_S

# Behind the deadline of a drain: the later stages, our own Redis that writes its file, the interpreter's end.
STOP_GRACE_S = 4 * LAST_STAGES_GRACE_S + 8.0


def pid_file(config_path: Path | None) -> Path:
    """The usual PID file of a supervisor with this configuration."""
    return _beside(config_path, ".pid")


def log_file(config_path: Path | None) -> Path:
    """The usual log of a supervisor with this configuration."""
    return _beside(config_path, ".log")


def _beside(config_path: Path | None, suffix: str) -> Path:
    return config_path.with_suffix(suffix) if config_path else Path(f"supervisor{suffix}")


def held(path: Path | None, drain_timeout_s: float) -> AbstractContextManager[object]:
    """The PID file of a supervisor that may drain for so long, if it shall have one."""
    return PidFile(path, drain_timeout_s + STOP_GRACE_S) if path else nullcontext()
