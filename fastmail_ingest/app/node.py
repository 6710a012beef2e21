"""The name of one supervisor among all that share a stream, and whether a namesake is surely gone."""

import hashlib
import os
import re
import socket
from pathlib import Path

_PROC = Path("/proc")
_HOST_MAX = 24


def node_id(pid: int) -> str:
    """`host-kernel-pid-start`: tells the host, the running kernel with its PID namespace, and the process."""
    host = re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname())[:_HOST_MAX] or "host"
    return f"{host}-{_kernel()}-{pid}-{_start_ticks(pid)}"


def surely_gone(node: str) -> bool:
    """True if `node` ran under this kernel and PID namespace and its process is no more.

    For any other node only its lease can tell, and False is returned.
    """
    parts = node.rsplit("-", 3)
    if len(parts) != 4 or parts[1] != _kernel() or not parts[2].isdigit():
        return False
    return _start_ticks(int(parts[2])) != parts[3]


def _kernel() -> str:
    """Equal only for processes that see each other's PIDs: one boot, one PID namespace."""
    boot = _text(_PROC / "sys/kernel/random/boot_id")
    namespace = os.readlink(_PROC / "self/ns/pid")
    return hashlib.sha256(f"{boot}{namespace}".encode()).hexdigest()[:8]


def _start_ticks(pid: int) -> str:
    """When the process started, in clock ticks since boot (proc(5), field 22); "" if there is none."""
    stat = _text(_PROC / str(pid) / "stat")
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
