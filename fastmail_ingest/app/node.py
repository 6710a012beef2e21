"""The name of one supervisor among all that share a stream, and whether a namesake is surely gone."""

import re
import socket

from fastmail_ingest.supervisor.birth import kernel, start_ticks

_HOST_MAX = 24


def node_id(pid: int) -> str:
    """`host-kernel-pid-start`: tells the host, the running kernel with its PID namespace, and the process."""
    host = re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname())[:_HOST_MAX] or "host"
    return f"{host}-{kernel()}-{pid}-{start_ticks(pid)}"


def surely_gone(node: str) -> bool:
    """True if `node` ran under this kernel and PID namespace and its process is no more.

    For any other node only its lease can tell, and False is returned.
    """
    parts = node.rsplit("-", 3)
    if len(parts) != 4 or parts[1] != kernel() or not parts[2].isdigit():
        return False
    return start_ticks(int(parts[2])) != parts[3]
