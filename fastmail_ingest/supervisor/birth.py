"""Which process is meant by a PID: numbers are given out again, moments of birth are not."""

import hashlib
import os
from pathlib import Path

_PROC = Path("/proc")


def kernel() -> str:
    """Equal only for processes that see each other's PIDs: one boot, one PID namespace."""
    boot = _text(_PROC / "sys/kernel/random/boot_id")
    namespace = os.readlink(_PROC / "self/ns/pid")
    return hashlib.sha256(f"{boot}{namespace}".encode()).hexdigest()[:8]


def start_ticks(pid: int) -> str:
    """When the process started, in clock ticks since boot (proc(5), field 22); "" if there is none."""
    fields = _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
